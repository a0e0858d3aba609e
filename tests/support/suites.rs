//! The cases of other builders' test suites, read out of their tables, and what it takes to build one.
//!
//! They are public reference data: `$ROUTERPACK_CONFORMANCE_DATA`, else `../shared/data` beside the workspace.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// The images that the cases begin with.
pub const IMAGES: [&str; 24] = [
    "alpine",
    "alpine:3.8",
    "alpine:3.9",
    "alpine@sha256:5ce5f501c457015c4b91f91a15ac69157d9b06f1a75cf9107bf2b62e0843983a",
    "busybox",
    "busybox:latest@sha256:b26cd013274a657b86e706210ddd5cc1f82f50155791199d29b9e86e935ce135",
    "busybox@sha256:1bd6df27274fef1dd36eb529d0f4c8033f61c675d6b04213dd913f902f7cafb5",
    "debian",
    "debian:10.13",
    "debian:10.2",
    "debian:12",
    "debian:bullseye-slim",
    "fedora",
    "google/cloud-sdk:256.0.0-alpine",
    "mirror.gcr.io/alpine",
    "mirror.gcr.io/busybox",
    "phusion/baseimage:0.11",
    "quay.io/fedora/python-311",
    "quay.io/libpod/busybox",
    "quay.io/libpod/centos:7",
    "quay.io/libpod/testimage:20241011",
    "ubuntu",
    "ubuntu:18.04",
    "ubuntu@sha256:04d48df82c938587820d7b6006f5071dbbffceb7ca01d2814f81857c631d44df",
];

/// One Dockerfile to build.
pub struct Case {
    /// The suite's own name for it, and which of several builds of a test it is.
    pub id: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// What the context holds.
    pub context: Context,
    /// Further arguments of `routerpack build`.
    pub arguments: Vec<String>,
    /// What must come of it.
    pub expected: Expected,
}

impl Case {
    /// Lays the case out in the directory `place`, which is made: its Dockerfile, and its context if that is to be made.
    /// Returns the Dockerfile and the context.
    pub fn lay_out(&self, place: &Path) -> (PathBuf, PathBuf) {
        fs::create_dir(place).unwrap();
        let dockerfile = place.join("Dockerfile");
        fs::write(&dockerfile, &self.dockerfile).unwrap();
        match &self.context {
            Context::Directory(directory) if directory.is_dir() => (dockerfile, directory.clone()),
            Context::Directory(_) => (dockerfile, directory(place.join("context"))),
            Context::Made(entries) => {
                let context = made(directory(place.join("context")), entries);
                (context.join("Dockerfile"), context)
            }
        }
    }

    /// The build argument by which no case sees the cache mounts of another test.
    pub fn cache_namespace(&self) -> String {
        let test = self.id.split('#').next().unwrap_or_default();
        format!("--build-arg=BUILDKIT_CACHE_MOUNT_NS={test}")
    }
}

/// Does something to every case, `workers` at a time, and collects what is not in order.
pub fn each(cases: &[Case], workers: usize, problem: impl Fn(&Case) -> Option<String> + Sync) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // not while the list is locked: then one case would wait for another
                    let problem = problem(case);
                    found.lock().unwrap().extend(problem);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// A build context.
pub enum Context {
    /// A directory of the data, or none where the data has none of that name.
    Directory(PathBuf),
    /// To be made: what to make (`CreateFile`, `CreateDir`, `Symlink`), its name, its contents or target, its mode.
    Made(Vec<(String, String, String, u32)>),
}

/// What must come of a build.
pub enum Expected {
    /// It works, and the image has these files with these contents.
    Success(Vec<(String, String)>),
    /// It fails, and standard error holds these texts.
    Failure(Vec<String>),
}

fn data() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    std::env::var_os("ROUTERPACK_CONFORMANCE_DATA").map_or_else(beside, PathBuf::from).join("dockerfile")
}

/// One of the tables, if they are here.
pub fn table(name: &str) -> Option<Vec<Value>> {
    let path = data().join(format!("{name}.json"));
    if !path.exists() {
        let message = format!("no conformance data at {}: set ROUTERPACK_CONFORMANCE_DATA", path.display());
        assert!(std::env::var_os("ROUTERPACK_REQUIRE_CONFORMANCE").is_none_or(|v| v != "1"), "{message}");
        eprintln!("{message}");
        return None;
    }
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Buildah's conformance tests, which it builds with Docker too.
pub fn buildah_conformance() -> Option<Vec<Case>> {
    let case = |case: Value| {
        let arguments = case["buildArgs"].as_object().into_iter().flatten();
        let expected = match case["shouldFailAt"].is_null() {
            true => Expected::Success(Vec::new()),
            false => Expected::Failure(Vec::new()),
        };
        Case {
            id: text(&case["id"]),
            dockerfile: text(&case["resolved_dockerfile"]),
            context: Context::Directory(data().join("ctx/buildah").join(case["contextDir"].as_str().unwrap_or(""))),
            arguments: arguments.map(|(key, value)| format!("--build-arg={key}={}", text(value))).collect(),
            expected,
        }
    };
    Some(table("buildah-conformance")?.into_iter().map(case).collect())
}

/// A suite of Dockerfiles beside their contexts: `directory` of the data stands for `original` of the suite.
pub fn contexts(name: &str, directory: &str, original: &str) -> Option<Vec<Case>> {
    let case = |case: Value| {
        let context = text(&case["context"]);
        let below = context.strip_prefix(original).expect("a context of this suite").trim_start_matches('/');
        let arguments = case["build_args"].as_array().into_iter().flatten();
        Case {
            id: text(&case["id"]),
            dockerfile: text(&case["dockerfile"]),
            context: Context::Directory(data().join("ctx").join(directory).join(below)),
            arguments: arguments.map(|argument| format!("--build-arg={}", text(argument))).collect(),
            expected: Expected::Success(Vec::new()),
        }
    };
    Some(table(name)?.into_iter().map(case).collect())
}

/// The builds in BuildKit's integration tests whose context is written out: `<test>` or, of several, `<test>#2`.
pub fn buildkit() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    for test in table("integration")? {
        // Of these the data has not all that the build is about: outputs, attestations, other machines.
        if test["features"].as_array().is_some_and(|features| !features.is_empty()) {
            continue;
        }
        let events = test["events"].as_array().unwrap();
        let mut context: Option<&Value> = None;
        let mut number = 0;
        for (at, event) in events.iter().enumerate() {
            match event["k"].as_str().unwrap() {
                "context" => context = Some(event),
                "solve" if context.is_some_and(written_out) => {
                    number += 1;
                    let id = text(&test["id"]);
                    let id = if number == 1 { id } else { format!("{id}#{number}") };
                    cases.extend(buildkit_case(id, context.unwrap(), event, &events[at + 1..]));
                }
                _ => {}
            }
        }
    }
    Some(cases)
}

/// Whether everything in a context is a value and no expression of the original test.
fn written_out(context: &Value) -> bool {
    let mut arguments = context["files"].as_array().unwrap().iter().flat_map(|f| f["args"].as_array().unwrap());
    arguments.all(|argument| argument.is_string() || argument.is_number())
}

fn buildkit_case(id: String, context: &Value, solve: &Value, after: &[Value]) -> Option<Case> {
    let mut arguments = Vec::new();
    for (key, value) in solve["FrontendAttrs"].as_object().into_iter().flatten() {
        // an expression, or something that is no argument of a plain build
        let value = value.as_str()?;
        arguments.push(match key.as_str() {
            "target" => format!("--target={value}"),
            "no-cache" => "--no-cache".to_owned(),
            "shm-size" => format!("--shm-size={value}"),
            _ => format!("--build-arg={}={value}", key.strip_prefix("build-arg:")?),
        });
    }
    let mut made = Vec::new();
    for file in context["files"].as_array().unwrap() {
        let arguments = file["args"].as_array().unwrap();
        let string = |at: usize| arguments.get(at).and_then(Value::as_str).unwrap_or("").to_owned();
        let mode = arguments.iter().find_map(Value::as_u64).unwrap_or(0o644);
        let (kind, mut name, mut what) = (text(&file["op"]), string(0), string(1));
        if kind == "Symlink" {
            std::mem::swap(&mut name, &mut what);
        }
        made.push((kind, name, what, u32::try_from(mode).unwrap()));
    }
    let dockerfile = made.iter().find(|(_, name, ..)| name == "Dockerfile")?.2.clone();
    Some(Case { id, dockerfile, context: Context::Made(made), arguments, expected: expected(after) })
}

/// What is checked between this build and the next.
fn expected(after: &[Value]) -> Expected {
    let after: Vec<&Value> =
        after.iter().take_while(|event| ["read", "expect"].contains(&&*text(&event["k"]))).collect();
    let expression = |value: &Value| value["$expr"].as_str().unwrap_or("").to_owned();
    let fails = after.first().is_some_and(|event| {
        ["Error", "ErrorContains"].contains(&event["check"].as_str().unwrap_or(""))
            && expression(&event["args"][0]) == "err"
    });
    if fails {
        let contains = |event: &&&Value| matches!(event["check"].as_str(), Some("Contains" | "ErrorContains"));
        let texts = after.iter().filter(contains).filter_map(|event| event["args"][1].as_str());
        return Expected::Failure(texts.map(str::to_owned).collect());
    }
    let mut files = Vec::new();
    for pair in after.windows(2) {
        let (path, check) = (expression(&pair[0]["path"]), pair[1]);
        let path = path.strip_prefix("filepath.Join(destDir, \"").and_then(|rest| rest.strip_suffix("\")"));
        let equal = check["check"] == "Equal" && expression(&check["args"][1]).contains("dt");
        if let (Some(path), Some(contents), true) = (path, check["args"][0].as_str(), equal) {
            files.push((path.to_owned(), contents.to_owned()));
        }
    }
    Expected::Success(files)
}

fn directory(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).unwrap();
    path
}

fn made(root: PathBuf, entries: &[(String, String, String, u32)]) -> PathBuf {
    for (kind, name, what, mode) in entries {
        let path = root.join(name);
        match kind.as_str() {
            "CreateFile" => fs::write(&path, what).unwrap(),
            "CreateDir" => fs::create_dir_all(&path).unwrap(),
            "Symlink" => symlink(what, &path).unwrap(),
            "CreateSocket" => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            other => panic!("{other} is new"),
        }
        if kind.starts_with("CreateF") || kind.starts_with("CreateD") {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
    root
}
