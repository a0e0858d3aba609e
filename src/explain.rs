//! `routerpack explain`.

use std::process::ExitCode;

use routerpack_targets::{
    profile::Profile,
    rules::{self, Rule},
};

use crate::{args::ExplainArgs, check::style, failure::Failure};

/// Prints one rule, or the list.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let profile = profile(&args.routeros)?;
    match &args.rule {
        None => {
            rules::all().iter().for_each(|rule| line(rule, profile));
            anstream::println!("\nIn Dockerfiles (`routerpack build --check`):");
            rules::dockerfile().iter().for_each(|rule| line(rule, profile));
        }
        Some(id) => match rules::find(id) {
            Some(rule) => whole(rule, profile),
            None => {
                let similar: Vec<&str> = rules::similar(id).iter().map(|r| r.id.as_str()).collect();
                let hint = match similar.is_empty() {
                    true => "`routerpack explain` lists them".to_string(),
                    false => format!("is it {}?", similar.join(", ")),
                };
                return Err(Failure::new(format!("there is no rule `{id}`: {hint}")));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads `--routeros`.
pub fn profile(text: &str) -> Result<Profile, Failure> {
    text.parse().map_err(|e| Failure::usage(format!("--routeros: {e}")))
}

fn line(rule: &Rule, profile: Profile) {
    let (severity, _) = rule.level(profile);
    let style = style(severity);
    anstream::println!("{style}{severity:<7}{style:#} {:<24} {}", rule.id, rule.title);
}

fn whole(rule: &Rule, profile: Profile) {
    let (severity, evidence) = rule.level(profile);
    let style = style(severity);
    anstream::println!("{style}{}{style:#}: {}", rule.id, rule.title);
    anstream::println!("\n{}\n", rule.why);
    let whose = match profile {
        Profile::Universal => "universal".to_string(),
        Profile::Version(v) => format!("RouterOS {v}"),
    };
    anstream::println!("weight:   {severity} ({whose})");
    for level in &rule.levels {
        let own = rule.level(Profile::Version(level.from)).0;
        anstream::println!("          {own} from {} on ({})", level.from, level.evidence);
    }
    anstream::println!("known by: {evidence}");
    anstream::println!("source:   {}", rule.source);
    anstream::println!("cure:     {}", rule.cure);
}
