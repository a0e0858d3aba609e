//! `routerpack check`.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstyle::{AnsiColor, Effects, Style};
use routerpack_targets::{
    check::{self as judge, Finding, Options, Report, Source},
    profile::Profile,
    rules::Severity,
};

use crate::{
    args::{CheckArgs, ReportFormat},
    failure::Failure,
    progress::megabytes,
    router::Router,
};

const BOLD: Style = Style::new().effects(Effects::BOLD);

/// Judges the archives, or mends them, and prints.
pub fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    if args.output.is_some() && args.archives.len() > 1 {
        return Err(Failure::usage("-o is one archive's: mend several with --in-place"));
    }
    if args.in_place && args.archives.iter().any(|a| a.as_os_str() == "-") {
        return Err(Failure::usage("standard input can't be mended in place: use -o"));
    }
    let from_stdin = args.archives.iter().filter(|a| a.as_os_str() == "-").count();
    if from_stdin + usize::from(args.router.device.as_deref() == Some("-")) > 1 {
        return Err(Failure::usage("standard input can be read for one thing only"));
    }
    let router = Router::read(&args.router)?;
    let spool = env::temp_dir();
    let options = router.options(router.platform(args.platform.as_deref())?, &spool);
    let mut reports = Vec::new();
    for archive in &args.archives {
        reports.push(if args.fix { mend(archive, args, &options)? } else { look(archive, &options)? });
    }
    match args.format {
        ReportFormat::Text => reports.iter().for_each(print),
        ReportFormat::Json => json(&reports.iter().map(Report::to_json).collect()),
        ReportFormat::Sarif => json(&judge::sarif(&reports, env!("CARGO_PKG_VERSION"))),
    }
    Ok(ExitCode::from(match judge::worst(&reports) {
        Some(Severity::Error) => 2,
        Some(Severity::Warning) if args.strict => 1,
        _ => 0,
    }))
}

fn look(archive: &Path, options: &Options) -> Result<Report, Failure> {
    let mut stdin = std::io::stdin().lock();
    let source = match archive.as_os_str() == "-" {
        true => Source::Reader(&mut stdin, "standard input"),
        false => Source::Path(archive),
    };
    judge::check(source, options).map_err(|e| Failure::new(e).with_code(2))
}

/// Mends one, and looks at what came out.
fn mend(archive: &Path, args: &CheckArgs, options: &Options) -> Result<Report, Failure> {
    let dest: PathBuf = args.output.clone().unwrap_or_else(|| archive.to_path_buf());
    let mut stdin = std::io::stdin().lock();
    let source = match archive.as_os_str() == "-" {
        true => Source::Reader(&mut stdin, "standard input"),
        false => Source::Path(archive),
    };
    let name = tag_of(archive);
    let fixed = judge::fix(source, options, &dest, &name, true);
    let fixed = fixed.map_err(|e| Failure::new(format!("{}: {e}", archive.display())).with_code(2))?;
    if args.format == ReportFormat::Text {
        for warning in fixed.summary.warnings.list.iter().take(10) {
            anstream::eprintln!("note: {warning}");
        }
        let bytes = megabytes(fixed.summary.bytes);
        let found = fixed.before.count(Severity::Error) + fixed.before.count(Severity::Warning);
        anstream::eprintln!("{}: {bytes} written; errors and warnings before: {found}", dest.display());
    }
    judge::check(Source::Path(&dest), options).map_err(|e| Failure::new(e).with_code(2))
}

/// A tag out of a file's name, for an archive that has none: `My App-1.tar.gz` is `my-app-1`.
fn tag_of(archive: &Path) -> String {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let suffixes = [".gz", ".zst", ".xz", ".bz2", ".tgz", ".txz", ".tar"];
    let name = suffixes.iter().fold(name.as_str(), |name, suffix| name.trim_end_matches(suffix));
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    if words.is_empty() { "image:latest".into() } else { words.join("-") }
}

fn json(value: &serde_json::Value) {
    anstream::println!("{value:#}");
}

fn print(report: &Report) {
    let platform = report.platform.as_ref().map_or("no platform".to_string(), ToString::to_string);
    let (bytes, unpacked) = (megabytes(report.bytes), megabytes(report.unpacked));
    anstream::println!("{BOLD}{}{BOLD:#}: {platform}, {bytes}, {unpacked} unpacked", report.name);
    let device = report.device.as_ref().map(|d| format!(", on {d}")).unwrap_or_default();
    let beyond =
        if report.profile.is_beyond() { " (newer than all that is known; judged as the newest known)" } else { "" };
    let profile = match report.profile {
        Profile::Universal => "every RouterOS since 7.9".to_string(),
        Profile::Version(v) => format!("RouterOS {v}"),
    };
    anstream::println!("  judged for {profile}{device}{beyond}");
    if let Some(id) = &report.image_id {
        anstream::println!("  image id {}", id.hex());
    }
    report.findings.iter().for_each(finding);
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    match (errors, warnings) {
        (0, 0) => anstream::println!("{}no errors, no warnings{:#}", style(Severity::Info), style(Severity::Info)),
        _ => anstream::println!("{BOLD}errors: {errors}, warnings: {warnings}{BOLD:#}"),
    }
}

fn finding(finding: &Finding) {
    let style = style(finding.severity);
    let (severity, rule) = (finding.severity, &finding.rule.id);
    anstream::println!("{style}{severity}[{rule}]{style:#}: {}", finding.message);
    for place in &finding.places {
        anstream::println!("    {place}");
    }
    let more = finding.count.saturating_sub(finding.places.len().max(1));
    if more > 0 {
        anstream::println!("    and {more} more");
    }
    if finding.severity > Severity::Info {
        anstream::println!("    known by: {}", finding.evidence);
        anstream::println!("    cure: {}", finding.rule.cure);
    }
}

/// How a weight is coloured.
pub fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => AnsiColor::Red.on_default().effects(Effects::BOLD),
        Severity::Warning => AnsiColor::Yellow.on_default().effects(Effects::BOLD),
        Severity::Info => AnsiColor::Green.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_without_a_tag_is_called_after_its_file() {
        for (file, tag) in [
            ("out/My App-1.tar.gz", "my-app-1"),
            ("app.tar", "app"),
            ("app.tar.xz", "app"),
            ("é.tar", "image:latest"),
            ("-", "image:latest"),
            ("a__b..c.tgz", "a-b-c"),
        ] {
            assert_eq!(tag_of(Path::new(file)), tag, "{file}");
            assert!(routerpack_targets::router_tag(&tag_of(Path::new(file))).is_ok());
        }
    }
}
