//! Values of flags that have a little syntax of their own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A flag whose value can't be used: which, what was given, why.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {given}: {why}")]
pub struct InvalidFlag {
    flag: &'static str,
    given: String,
    why: String,
}

fn invalid(flag: &'static str, given: &str, why: impl Into<String>) -> InvalidFlag {
    InvalidFlag { flag, given: given.to_string(), why: why.into() }
}

/// The proxy arguments that a build takes over from the environment, and that need no ARG
/// (BuildKit, `frontend/dockerfile/docs/reference.md`, "Predefined ARGs").
pub const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// `KEY=VALUE`, or `KEY` alone for the environment's value (left out when it has none), as in
/// `--build-arg`. Proxy settings of the environment are added where the flags don't name them.
pub fn build_args(
    given: &[String],
    env: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, InvalidFlag> {
    let mut args = BTreeMap::new();
    for flag in given {
        let (key, value) = match flag.split_once('=') {
            Some((key, value)) => (key, Some(value.to_string())),
            None => (flag.as_str(), env(flag)),
        };
        if key.is_empty() {
            return Err(invalid("--build-arg", flag, "expected KEY=VALUE"));
        }
        if let Some(value) = value {
            args.insert(key.to_string(), value);
        }
    }
    for key in PROXY_ARGS {
        if !args.contains_key(key)
            && let Some(value) = env(key)
        {
            args.insert(key.to_string(), value);
        }
    }
    Ok(args)
}

/// `KEY=VALUE` pairs of `--label`.
pub fn labels(given: &[String]) -> Result<BTreeMap<String, String>, InvalidFlag> {
    given
        .iter()
        .map(|flag| match flag.split_once('=').unwrap_or((flag, "")) {
            ("", _) => Err(invalid("--label", flag, "expected KEY=VALUE")),
            (key, value) => Ok((key.to_string(), value.to_string())),
        })
        .collect()
}

/// Where a secret's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

/// `id=ID[,src=FILE|,source=FILE][,env=VARIABLE][,type=file|env]` of `--secret`. Without a source: the
/// variable ID if the environment has it, else the file ID (buildx, `util/buildflags/secrets.go`).
pub fn secrets(
    given: &[String],
    has_env: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, SecretSource>, InvalidFlag> {
    let mut secrets = BTreeMap::new();
    for flag in given {
        let fail = |why: &str| invalid("--secret", flag, why);
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for field in flag.split(',') {
            match field.split_once('=') {
                Some(("id", v)) if !v.is_empty() => id = Some(v.to_string()),
                Some(("src" | "source", v)) if !v.is_empty() => file = Some(v.to_string()),
                Some(("env", v)) if !v.is_empty() => variable = Some(v.to_string()),
                Some(("type", v @ ("file" | "env"))) => kind = Some(v),
                _ => return Err(fail("expected id=ID,src=FILE or id=ID,env=VARIABLE")),
            }
        }
        let id = id.ok_or_else(|| fail("it has no id=…"))?;
        let source = match (variable, file, kind) {
            (Some(_), Some(_), _) => return Err(fail("it has both src= and env=")),
            (Some(v), None, _) => SecretSource::Env(v),
            (None, Some(f), Some("env")) => SecretSource::Env(f),
            (None, Some(f), _) => SecretSource::File(f.into()),
            (None, None, Some("env")) => SecretSource::Env(id.clone()),
            (None, None, kind) if kind.is_none() && has_env(&id) => SecretSource::Env(id.clone()),
            (None, None, _) => SecretSource::File(id.clone().into()),
        };
        secrets.insert(id, source);
    }
    Ok(secrets)
}

/// `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY]` of `--ssh`; without a path, the agent's socket of the environment.
pub fn ssh(given: &[String], agent: Option<&Path>) -> Result<BTreeMap<String, Vec<PathBuf>>, InvalidFlag> {
    given
        .iter()
        .map(|flag| {
            let (id, paths) = match flag.split_once('=') {
                Some((id, paths)) => (id, paths.split(',').map(PathBuf::from).collect()),
                None => (flag.as_str(), agent.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>()),
            };
            match paths.is_empty() {
                false => Ok((id.to_string(), paths)),
                true => Err(invalid(
                    "--ssh",
                    flag,
                    "no agent is running (SSH_AUTH_SOCK is not set); start one, or name its socket or a private key: ID=PATH",
                )),
            }
        })
        .collect()
}

/// Bytes with an optional unit of 1024: `64m`, `1g`, `65536`, `10kb`.
pub fn bytes(flag: &'static str, given: &str) -> Result<i64, InvalidFlag> {
    let text = given.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].trim_end_matches('b') {
        "" => 0,
        "k" | "ki" => 10,
        "m" | "mi" => 20,
        "g" | "gi" => 30,
        _ => return Err(invalid(flag, given, "expected a number of bytes, with k, m or g")),
    };
    let number: i64 =
        digits.trim().parse().map_err(|_| invalid(flag, given, "expected a number of bytes, with k, m or g"))?;
    number.checked_mul(1 << shift).filter(|n| *n >= 0).ok_or_else(|| invalid(flag, given, "it is out of range"))
}

/// `NAME=SOFT[:HARD]` of `--ulimit`.
pub fn ulimit(given: &str) -> Result<(String, i64, i64), InvalidFlag> {
    let fail = || invalid("--ulimit", given, "expected NAME=SOFT[:HARD], such as nofile=1024:4096");
    let (name, values) = given.split_once('=').ok_or_else(fail)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Ok((name.to_string(), soft.parse().map_err(|_| fail())?, hard.parse().map_err(|_| fail())?))
}

/// `HOST:IP` or `HOST=IP` of `--add-host`; the address may be an IPv6 one in brackets.
pub fn add_host(given: &str) -> Result<(String, String), InvalidFlag> {
    let fail = |why: &str| invalid("--add-host", given, why);
    let split = given.split_once('=').or_else(|| given.split_once(':'));
    let (host, ip) = split.ok_or_else(|| fail("expected HOST:IP"))?;
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(fail("the host's name is empty or has blanks"));
    }
    if ip.parse::<std::net::IpAddr>().is_err() {
        return Err(fail("that is no IP address"));
    }
    Ok((host.to_string(), ip.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_args_come_from_flags_then_from_the_environment() {
        let env = |k: &str| match k {
            "FROM_ENV" => Some("e".to_string()),
            "HTTP_PROXY" => Some("http://p".to_string()),
            _ => None,
        };
        let given = ["A=1", "B=x=y", "FROM_ENV", "ABSENT", "EMPTY="].map(String::from);
        let args = build_args(&given, env).unwrap();
        let pairs: Vec<_> = args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["A=1", "B=x=y", "EMPTY=", "FROM_ENV=e", "HTTP_PROXY=http://p"]);
        assert!(build_args(&["=x".into()], env).is_err());
    }

    #[test]
    fn secrets_name_a_file_or_a_variable() {
        let one = |text: &str| secrets(&[text.to_string()], |k| k == "TOKEN").map(|m| m.into_values().next().unwrap());
        assert_eq!(one("id=a,src=f").unwrap(), SecretSource::File("f".into()));
        assert_eq!(one("id=a,env=B").unwrap(), SecretSource::Env("B".into()));
        assert_eq!(one("id=TOKEN").unwrap(), SecretSource::Env("TOKEN".into()));
        assert_eq!(one("id=TOKEN,type=file").unwrap(), SecretSource::File("TOKEN".into()));
        assert_eq!(one("id=npmrc").unwrap(), SecretSource::File("npmrc".into()));
        for bad in ["", "src=f", "id=a,src=f,env=B", "id=a,mode=0"] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_limits_and_hosts() {
        for (text, want) in [("0", 0), ("64m", 64 << 20), ("1G", 1 << 30), ("10kb", 10240), ("1GiB", 1 << 30)] {
            assert_eq!(bytes("--shm-size", text).unwrap(), want, "{text}");
        }
        for bad in ["", "m", "-1", "1t", "99999999999999g"] {
            assert!(bytes("--shm-size", bad).is_err(), "{bad}");
        }
        assert_eq!(ulimit("nofile=10:20").unwrap(), ("nofile".into(), 10, 20));
        assert_eq!(ulimit("nofile=10").unwrap(), ("nofile".into(), 10, 10));
        assert!(ulimit("nofile").is_err());
        assert_eq!(add_host("a:10.0.0.1").unwrap(), ("a".into(), "10.0.0.1".into()));
        assert_eq!(add_host("a:[::1]").unwrap(), ("a".into(), "::1".into()));
        assert!(add_host("a:b").is_err());
    }
}
