//! Shows a build on standard error: one line a vertex, output of steps as it comes, bars for pulls and packing.

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use routerpack_builder::events::{Ending, Events, Task};

use crate::{
    notice::{self, Notice},
    told::Told,
};

/// What `--progress` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Lines for a log.
    Plain,
    /// Live lines and bars.
    Tty,
    /// Errors only.
    Quiet,
}

/// Listens to a build and shows it.
pub struct Progress {
    mode: Mode,
    screen: MultiProgress,
    tasks: Mutex<Tasks>,
    /// What was told, as data.
    pub told: Told,
}

#[derive(Default)]
struct Tasks {
    numbers: HashMap<Task, usize>,
    open: HashMap<Task, Open>,
}

struct Open {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
    /// What came after the last newline of a step's output.
    partial: Vec<u8>,
    /// Sections of a plain log's progress already printed, in tenths.
    tenths: u64,
}

/// A line longer than this is cut by hand: a step may never write a newline.
const MAX_LINE: usize = 8192;

const GREEN: Style = AnsiColor::Green.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();

impl Progress {
    /// Shows as `mode` says.
    pub fn new(mode: Mode) -> Self {
        let mode = match mode {
            Mode::Auto if std::io::stderr().is_terminal() => Mode::Tty,
            Mode::Auto => Mode::Plain,
            other => other,
        };
        Self { mode, screen: MultiProgress::new(), tasks: Mutex::default(), told: Told::default() }
    }

    /// A line of its own, above what moves; not in quiet mode.
    pub fn line(&self, text: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Tty => self.screen.suspend(|| eprintln_styled(text)),
            _ => eprintln_styled(text),
        }
    }

    /// Draws a notice, and keeps it.
    pub fn tell(&self, notice: Notice) {
        self.line(&notice.draw());
        self.told.keep(notice);
    }

    /// Hides what moves while `f` has the terminal.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.screen.suspend(f)
    }

    /// A bar for the packing, in bytes.
    pub fn packing(&self, name: &str, total: Option<u64>) -> ProgressBar {
        if self.mode != Mode::Tty {
            return ProgressBar::hidden();
        }
        let bar = self.screen.add(bytes_bar(name, total));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn step_line(&self, number: usize, open: &Open, line: &[u8]) {
        let text = printable(line);
        match self.mode {
            Mode::Plain => eprintln_styled(&format!("#{number} {:.3} {text}", open.start.elapsed().as_secs_f64())),
            Mode::Tty => self.screen.suspend(|| eprintln_styled(&format!("   {CYAN}│{CYAN:#} {text}"))),
            _ => {}
        }
    }
}

impl Events for Progress {
    fn started(&self, task: &Task, name: &str) {
        let mut tasks = self.tasks.lock().expect("no panic while holding it");
        let number = tasks.numbers.len() + 1;
        tasks.numbers.insert(task.clone(), number);
        let bar = match self.mode {
            Mode::Tty => {
                let bar = self.screen.add(match task {
                    Task::Vertex(_) => ProgressBar::new_spinner()
                        .with_style(style("{spinner} {msg} {elapsed:.dim}"))
                        .with_message(name.to_string()),
                    _ => bytes_bar(name, None),
                });
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Mode::Plain => {
                eprintln_styled(&format!("#{number} {name}"));
                None
            }
            _ => None,
        };
        let open = Open { name: name.to_string(), start: Instant::now(), bar, partial: Vec::new(), tenths: 0 };
        tasks.open.insert(task.clone(), open);
    }

    fn progress(&self, task: &Task, done: u64, total: Option<u64>) {
        let mut tasks = self.tasks.lock().expect("no panic while holding it");
        let number = tasks.numbers.get(task).copied().unwrap_or(0);
        let Some(open) = tasks.open.get_mut(task) else { return };
        if let Some(bar) = &open.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.mode == Mode::Plain
            && let Some(total) = total.filter(|t| *t > 16 << 20)
        {
            let tenths = done * 10 / total;
            if tenths > open.tenths {
                open.tenths = tenths;
                eprintln_styled(&format!("#{number} {} / {}", megabytes(done), megabytes(total)));
            }
        }
    }

    fn output(&self, task: &Task, bytes: &[u8]) {
        if self.mode == Mode::Quiet {
            return;
        }
        let mut tasks = self.tasks.lock().expect("no panic while holding it");
        let number = tasks.numbers.get(task).copied().unwrap_or(0);
        let Some(open) = tasks.open.get_mut(task) else { return };
        let mut pending = std::mem::take(&mut open.partial);
        pending.extend_from_slice(bytes);
        let mut rest = &pending[..];
        while let Some(end) = rest.iter().position(|b| *b == b'\n').or((rest.len() > MAX_LINE).then_some(MAX_LINE)) {
            self.step_line(number, open, &rest[..end]);
            rest = &rest[end + usize::from(rest[end] == b'\n')..];
        }
        open.partial = rest.to_vec();
    }

    fn ended(&self, task: &Task, ending: Ending, took: Duration) {
        let mut tasks = self.tasks.lock().expect("no panic while holding it");
        let number = tasks.numbers.get(task).copied().unwrap_or(0);
        let Some(open) = tasks.open.remove(task) else { return };
        if !open.partial.is_empty() {
            self.step_line(number, &open, &open.partial);
        }
        let secs = took.as_secs_f64();
        match self.mode {
            Mode::Plain => eprintln_styled(&match ending {
                Ending::Done => format!("#{number} DONE {secs:.1}s"),
                Ending::Cached => format!("#{number} CACHED"),
                Ending::Failed => format!("#{number} ERROR"),
                Ending::Canceled => format!("#{number} CANCELED"),
            }),
            Mode::Tty => {
                if let Some(bar) = &open.bar {
                    bar.finish_and_clear();
                    self.screen.remove(bar);
                }
                let name = &open.name;
                self.screen.suspend(|| {
                    eprintln_styled(&match ending {
                        Ending::Done => format!("{GREEN}✔{GREEN:#} {name}  {secs:.1}s"),
                        Ending::Cached => format!("{CYAN}✔{CYAN:#} {name}  cached"),
                        Ending::Failed => format!("{RED}✘{RED:#} {name}  {secs:.1}s"),
                        Ending::Canceled => format!("{YELLOW}–{YELLOW:#} {name}  canceled"),
                    });
                });
            }
            _ => {}
        }
    }

    fn warning(&self, text: &str) {
        self.line(&format!("{YELLOW}warning:{YELLOW:#} {text}"));
        self.told.keep(Notice::from_text(notice::WARNING, text).into_warning());
    }
}

fn eprintln_styled(text: &str) {
    // A closed standard error must not end a build.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bytes_bar(name: &str, total: Option<u64>) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.with_style(style("{spinner} {msg} {bytes} / {total_bytes} {wide_bar:.cyan}")).with_message(name.to_string())
}

/// Decimal megabytes, as disks and RouterOS count.
pub fn megabytes(bytes: u64) -> String {
    if bytes < 100_000 { format!("{:.1} kB", bytes as f64 / 1e3) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

/// A step's output may hold anything; what would move the cursor or set a title is taken out.
pub fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let after_last_return = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or("").to_string();
    anstream::adapter::strip_str(&after_last_return)
        .to_string()
        .chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_can_not_drive_the_terminal() {
        for (raw, shown) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"10%\r50%\r100%\r", "100%"),
            (b"\x1b]0;title\x07x", "x"),
            (b"tab\there\x08", "tab\there"),
            (b"\xff", "\u{fffd}"),
        ] {
            assert_eq!(printable(raw), shown);
        }
    }
}
