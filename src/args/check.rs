//! `check`, and what tells about rules, logs and devices.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::RouterArgs;

pub(super) const CHECK_CODES: &str = "\
Exit codes:
  0  nothing found, or only what is good to know (and warnings, without --strict)
  1  warnings, with --strict
  2  errors, or an archive that can't be read or mended
`routerpack explain RULE` tells more about a finding.";

/// `routerpack check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Archives; `-` is standard input
    #[arg(required = true, value_name = "ARCHIVE")]
    pub archives: Vec<PathBuf>,
    /// The router that they are for
    #[command(flatten)]
    pub router: RouterArgs,
    /// The platform, where no device is named [default: the image's own]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// End with exit code 1 where there are warnings
    #[arg(long)]
    pub strict: bool,
    /// In which form findings are printed; `json` is an array with one object an archive
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub format: ReportFormat,
    /// Write the archive anew as a router wants it
    #[arg(long, requires = "fixed")]
    pub fix: bool,
    /// Where the mended archive goes
    #[arg(short, long, value_name = "PATH", group = "fixed", requires = "fix")]
    pub output: Option<PathBuf>,
    /// The mended archive takes the place of the old one
    #[arg(long, group = "fixed", requires = "fix")]
    pub in_place: bool,
}

/// What `check --format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// JSON.
    Json,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
}

/// `routerpack explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rule; without one all are listed
    pub rule: Option<String>,
    /// RouterOS version that the weight is told for
    #[arg(long, value_name = "VERSION", default_value = "universal")]
    pub routeros: String,
}

/// `routerpack diagnose`
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// What the router said; without it standard input is read
    pub text: Vec<String>,
    /// The router's RouterOS version
    #[arg(long, value_name = "VERSION", default_value = "universal")]
    pub routeros: String,
}

/// `routerpack devices`
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// A part of the name, code, CPU, architecture or platform [default: every device that runs containers]
    pub pattern: Option<String>,
}
