//! How steps end: by themselves, by signal, with their caller; and that nothing is left.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use routerpack_sandbox::{Error, Status, Streams, spawn};

use crate::Test;
use crate::image::{Image, output, run, start};

pub const TESTS: &[Test] = &[
    ("what_a_command_leaves_behind_dies", what_a_command_leaves_behind_dies),
    ("signals_and_kill", signals_and_kill),
    ("dropping_kills", dropping_kills),
    ("a_killed_caller_takes_its_steps_along", a_killed_caller_takes_its_steps_along),
    ("a_killed_runner_takes_its_step_along", a_killed_runner_takes_its_step_along),
    ("input_and_many_at_once", input_and_many_at_once),
    ("a_shell_on_a_terminal", a_shell_on_a_terminal),
];

/// Processes of this machine whose command line contains `mark`.
fn alive(mark: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|e| fs::read(e.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark) && line.starts_with("sleep"))
        .collect()
}

/// Waits until that many of them are there.
fn until(mark: &str, count: usize) {
    let start = Instant::now();
    while alive(mark).len() != count {
        assert!(start.elapsed() < Duration::from_secs(5), "{count} of {:?}", alive(mark));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn what_a_command_leaves_behind_dies() {
    let image = Image::busybox();
    let before = mounts();
    assert_eq!(output(&image.sh("sleep 98701 & sleep 98701 & (sleep 98701 &); echo done")), "done\n");
    assert!(alive("98701").is_empty());
    // Orphans are reaped, and do not end the step.
    assert_eq!(output(&image.sh("(sleep 0.01 &); (true &); sleep 0.1; cd /proc; echo [0-9]*")), "1 2\n");
    assert_eq!(mounts(), before);
}

fn signals_and_kill() {
    let image = Image::busybox();
    let (mut child, reader) =
        start(&image.sh("trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done")).unwrap();
    let mut lines = BufReader::new(reader).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    child.signaller().signal(15);
    assert_eq!(lines.next().unwrap().unwrap(), "term");
    assert_eq!(child.wait().unwrap(), Status::Exited(7));
    let (mut child, _reader) = start(&image.sh("sleep 98702 & sleep 98702")).unwrap();
    let signaller = child.signaller();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        signaller.kill();
    });
    assert_eq!(child.wait().unwrap(), Status::Signaled(9));
    assert_eq!(child.wait().unwrap(), Status::Signaled(9));
    killer.join().unwrap();
    assert!(alive("98702").is_empty());
}

fn dropping_kills() {
    let image = Image::busybox();
    let (child, _reader) = start(&image.sh("sleep 98703 & sleep 98703")).unwrap();
    let kept = child.signaller();
    drop(child);
    assert!(alive("98703").is_empty());
    kept.kill();
    // The upper can be used again at once.
    output(&image.sh("echo again > /x"));
}

/// What the caller that gets killed does; see `main`.
pub fn doomed_caller() {
    let image = Image::busybox();
    let (mut child, reader) = start(&image.sh("setsid sleep 98704 & echo started; sleep 98704")).unwrap();
    println!("{} {}", image.dir.path().display(), BufReader::new(reader).lines().next().unwrap().unwrap());
    child.wait().unwrap();
}

fn a_killed_caller_takes_its_steps_along() {
    let before = mounts();
    let mut caller = Command::new("/proc/self/exe").arg("--doomed-caller").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(caller.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (dir, _started) = line.trim().split_once(' ').unwrap_or_default();
    let ready = std::panic::catch_unwind(|| until("98704", 2));
    caller.kill().unwrap();
    assert_eq!(caller.wait().unwrap().signal(), Some(9));
    ready.unwrap();
    until("98704", 0);
    assert_eq!(mounts(), before);
    fs::remove_dir_all(dir).unwrap();
}

fn a_killed_runner_takes_its_step_along() {
    let image = Image::busybox();
    let (mut child, _reader) = start(&image.sh("sleep 98705 & sleep 98705")).unwrap();
    until("98705", 2);
    let me = std::process::id();
    let children = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap();
    for runner in children.split_whitespace() {
        Command::new("kill").args(["-9", runner]).status().unwrap();
    }
    assert!(matches!(child.wait(), Err(Error::Lost(_))));
    until("98705", 0);
}

fn input_and_many_at_once() {
    let image = Image::busybox();
    // Standard input is empty unless given.
    assert_eq!(output(&image.sh("cat; echo end")), "end\n");
    let (input, mut given) = std::io::pipe().unwrap();
    let (mut output, writer) = std::io::pipe().unwrap();
    let stderr = writer.try_clone().unwrap();
    let streams = Streams { stdin: Some(input.into()), stdout: writer.into(), stderr: stderr.into() };
    let mut child = spawn(&image.sh("cat"), streams).unwrap();
    std::io::Write::write_all(&mut given, b"through").unwrap();
    drop(given);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), child.wait().unwrap()), ("through", Status::Exited(0)));
    std::thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || {
                let image = Image::busybox();
                let (status, text) = run(&image.sh(&format!("echo {n} > /file; cat /file; exit {n}"))).unwrap();
                assert_eq!((status, text), (Status::Exited(n), format!("{n}\n")));
            });
        }
    });
    // Nobody else's terminal: a step has its own session.
    let _ = Command::new("true").process_group(0).status();
    assert_ne!(crate::image::output(&image.sh("cat /proc/self/stat")).split(' ').nth(5), Some("0"));
}

/// A shell on the caller's terminal; see `main`.
pub fn shell_main() {
    let image = Image::busybox();
    let mut step = image.sh("");
    step.args = vec!["sh".into(), "-i".into()];
    step.terminal = true;
    let fd = |n: i32| fs::File::options().read(true).write(true).open(format!("/proc/self/fd/{n}")).unwrap();
    let streams = Streams { stdin: Some(fd(0).into()), stdout: fd(1).into(), stderr: fd(2).into() };
    let status = spawn(&step, streams).unwrap().wait().unwrap();
    // The terminal is the caller's again: a background process would be stopped here.
    println!("ended {}", status.code());
}

fn a_shell_on_a_terminal() {
    let program = std::env::current_exe().unwrap();
    let mut script = Command::new("script")
        .args(["-qec", &format!("{} --shell", program.display()), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        screen.read_to_string(&mut text).map(|_| text)
    });
    let mut type_in = |text: &str| {
        std::io::Write::write_all(&mut keys, text.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    };
    type_in("test -t 0 && echo is-a-$((1+1))-terminal\n");
    // Ctrl-C ends what runs in the shell, not the shell and not the caller.
    type_in("sleep 98706\n");
    until("98706", 1);
    type_in("\x03");
    until("98706", 0);
    type_in("exit 5\n");
    assert!(script.wait().unwrap().success());
    let text = reader.join().unwrap().unwrap();
    assert!(text.contains("is-a-2-terminal") && text.contains("ended 5"), "{text}");
    assert!(!text.contains("job control turned off"), "{text}");
}
