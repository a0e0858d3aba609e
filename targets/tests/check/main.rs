//! `check`: a broken archive for every rule, and good ones that no rule complains about.

mod broken;
mod device;
mod elf;
mod hostile;
mod image;
mod layer;
mod libraries;
mod mend;

use std::{collections::BTreeSet, path::Path};

use routerpack_graph::Platform;
use routerpack_targets::{
    check::{Finding, Options, Report, Source, check, sarif},
    devices,
    rules::{self, Severity},
};

use broken::{Broken, broken, firewall};
use image::{Image, base, gzip};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn options(&self) -> Options<'_> {
        Options::new(self.dir.path())
    }

    pub fn check(&self, bytes: &[u8], options: &Options) -> Report {
        check(Source::Reader(&mut &*bytes, "test.tar"), options).unwrap()
    }
}

fn found<'a>(report: &'a Report, rule: &str) -> Option<&'a Finding> {
    report.findings.iter().find(|f| f.rule.id == rule)
}

fn named(report: &Report) -> Vec<String> {
    report.findings.iter().map(|f| format!("{}[{}] {}", f.severity, f.rule.id, f.message)).collect()
}

#[test]
fn a_good_archive_has_no_findings() {
    let bench = Bench::new();
    let image = Image::good();
    for bytes in [image.pack(), gzip(&image.pack())] {
        let report = bench.check(&bytes, &bench.options());
        assert_eq!(named(&report), Vec::<String>::new());
        assert_eq!(report.platform, Some(Platform::new("linux", "amd64", "")));
        assert_eq!((report.tags, report.bytes), (vec!["app:1".to_string()], bytes.len() as u64));
    }
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let bench = Bench::new();
    let mut tried = BTreeSet::new();
    for Broken { rule, archive, word, device } in broken() {
        let device = device.map(|name| devices::find(name).unwrap());
        let report = bench.check(&archive, &Options { device, ..bench.options() });
        let hit = report.findings.iter().find(|f| f.rule.id == rule && f.message.contains(word));
        let hit = hit.unwrap_or_else(|| panic!("{rule} ({word}): {:#?}", named(&report)));
        let (severity, _) = hit.rule.level(report.profile);
        assert_eq!(hit.severity, severity, "{rule}: the command's own findings count in full");
        tried.insert(rule);
    }
    let rules: BTreeSet<&str> = rules::all().iter().map(|r| r.id.as_str()).collect();
    assert_eq!(rules.difference(&tried).collect::<Vec<_>>(), Vec::<&&str>::new(), "no fixture");
}

#[test]
fn what_is_no_breach_is_not_complained_of() {
    let bench = Bench::new();
    for script in
        ["iptables-legacy -A INPUT -j DROP", "# nft and ipset are not for us\necho iptables_x", "ip a show veth0"]
    {
        let report = bench.check(&Image::of(firewall(script).end()).pack(), &bench.options());
        let only: Vec<&str> = report.findings.iter().map(|f| f.rule.id.as_str()).collect();
        assert_eq!(
            (only, report.findings[0].severity),
            (vec!["iptables-nft"], Severity::Info),
            "{script}: it is there"
        );
    }
}

#[test]
fn what_is_not_certain_is_no_error_for_one_version() {
    let bench = Bench::new();
    for version in ["7.9", "7.20", "7.21", "7.24", "7.30"] {
        let options = Options { profile: version.parse().unwrap(), ..bench.options() };
        for Broken { rule, archive, .. } in broken() {
            for finding in bench.check(&archive, &options).findings {
                assert!(
                    finding.severity < Severity::Error || finding.evidence.is_firm(),
                    "{rule} on {version}: {finding:?}"
                );
            }
        }
    }
    let oci = Image { oci: true, extra: vec![("ros-container.json".into(), b"{}".to_vec())], ..Image::good() }.pack();
    let at = |version: &str| bench.check(&oci, &Options { profile: version.parse().unwrap(), ..bench.options() });
    assert!(found(&at("7.24"), "oci-layout").is_none(), "made by the router itself");
    assert!(found(&at("7.23"), "oci-layout").is_some() && found(&at("universal"), "oci-layout").is_some());
}

#[test]
fn sarif_names_rules_and_places() {
    let bench = Bench::new();
    let report = bench.check(&Image::of(gzip(&base().end())).pack(), &bench.options());
    let sarif = sarif(std::slice::from_ref(&report), "1.2.3");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("layer-compression"), Some("error")));
    let at = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(run["tool"]["driver"]["rules"][at]["id"], "layer-compression");
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "test.tar");
    let json = report.to_json();
    assert_eq!((json["errors"].as_u64(), json["findings"][0]["evidence"].as_str()), (Some(1), Some("tested")));
}

#[test]
fn a_missing_file_and_a_directory_say_what_to_do() {
    let bench = Bench::new();
    let e = check(Source::Path(Path::new("/nonexistent.tar")), &bench.options()).unwrap_err();
    assert!(e.to_string().contains("/nonexistent.tar"), "{e}");
    let e = check(Source::Path(bench.dir.path()), &bench.options()).unwrap_err();
    assert!(e.to_string().contains("tar -C"), "{e}");
}
