//! Git references as ADD's source: `https://host/repo.git#ref:dir`, `git@host:repo`, `…git?tag=v1&subdir=x`
//! (BuildKit `frontend/dockerfile/dfgitutil`, `util/gitutil`).

use routerpack_graph::source::{GIT_AUTH_HEADER, GIT_AUTH_TOKEN, Git};

use super::super::mount::parse_bool;

/// The op behind a build context that is a repository; `None` if it is something else. `keep_git_dir` and
/// `commit_mtime` are what the build asks for besides (BuildKit `frontend/dockerui/context.go`, `DetectGitContext`).
pub fn git_source(text: &str, keep_git_dir: bool, commit_mtime: bool) -> Option<Result<Git, String>> {
    // Older than the rules for URLs, and still taken.
    let parsed = match text.starts_with("github.com/") {
        true => GitReference::parse(&format!("https://{text}"), true)?,
        false => GitReference::parse(text, false)?,
    };
    Some(parsed.map(|mut git| {
        git.commit_mtime |= commit_mtime;
        let checksum = (!git.checksum.is_empty()).then(|| git.checksum.clone());
        git.source(keep_git_dir || git.keep_git_dir == Some(true), checksum)
    }))
}

/// A reference to a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GitReference {
    /// The URL without query and fragment.
    pub remote: String,
    pub host: String,
    pub path: String,
    /// Over ssh.
    pub ssh: bool,
    pub reference: String,
    pub subdir: String,
    pub checksum: String,
    pub keep_git_dir: Option<bool>,
    pub submodules: Option<bool>,
    pub commit_mtime: bool,
    pub fetch_by_commit: bool,
}

impl GitReference {
    /// Reads a source. `None`: it is something else, a path or a plain URL. What is `known` to be a
    /// repository needs no `.git` at its end.
    pub(super) fn parse(text: &str, known: bool) -> Option<Result<Self, String>> {
        let (rest, fragment) = text.split_once('#').map_or((text, ""), |(rest, fragment)| (rest, fragment));
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let mut git = Self { remote: rest.to_string(), ..Self::default() };
        match rest.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = scheme.to_ascii_lowercase();
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                match scheme.as_str() {
                    // Any URL could be a file; a repository is one by its name.
                    "http" | "https" if !known && !path.ends_with(".git") => return None,
                    "http" | "https" | "git" => {}
                    "ssh" => git.ssh = true,
                    _ => return None,
                }
                git.host = authority.rsplit('@').next().unwrap_or(authority).to_string();
                git.path = path.to_string();
            }
            None => {
                let (user, rest) = rest.split_once('@')?;
                let (host, path) = rest.split_once(':')?;
                let name = |text: &str, more: &[u8]| {
                    let known = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
                    !text.is_empty() && text.bytes().all(known)
                };
                if !name(user, b"-_") || !name(host, b"-.") {
                    return None;
                }
                (git.ssh, git.host, git.path) = (true, host.to_string(), path.to_string());
            }
        }
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        git.reference = reference.into();
        git.subdir = subdir.into();
        Some(git.query(query).map(|()| git))
    }

    fn query(&mut self, query: &str) -> Result<(), String> {
        let set = |name: &str, old: &mut String, new: &str| {
            if !old.is_empty() && old != new {
                return Err(format!("{name} conflicts: {old:?} vs {new:?}"));
            }
            new.clone_into(old);
            Ok(())
        };
        let mut seen: Vec<&str> = Vec::new();
        let (mut tag, mut branch) = (String::new(), String::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            seen.push(key);
            let value = &percent_decoded(&value.replace('+', " "))?;
            let flag = || match value.as_str() {
                "" => Ok(true),
                _ => parse_bool(value).ok_or_else(|| format!("invalid {key} value: {value:?}")),
            };
            if value.is_empty() && !matches!(key, "submodules" | "keep-git-dir" | "fetch-by-commit") {
                return Err(format!("query {key:?} has no value"));
            }
            match key {
                "ref" => set("ref", &mut self.reference, value)?,
                "tag" => tag = prefixed("refs/tags/", value),
                "branch" => branch = prefixed("refs/heads/", value),
                "subdir" => set("subdir", &mut self.subdir, value)?,
                "checksum" | "commit" => set("checksum", &mut self.checksum, value)?,
                "keep-git-dir" => self.keep_git_dir = Some(flag()?),
                "submodules" => self.submodules = Some(flag()?),
                "fetch-by-commit" => self.fetch_by_commit = flag()?,
                "mtime" => match value.as_str() {
                    "commit" => self.commit_mtime = true,
                    "checkout" => self.commit_mtime = false,
                    _ => return Err(format!("invalid mtime value: {value:?}")),
                },
                _ => return Err(format!("unexpected query {key:?}")),
            }
        }
        if !tag.is_empty() && !branch.is_empty() {
            return Err("branch conflicts with tag".into());
        }
        for named in [tag, branch] {
            if !named.is_empty() {
                set("ref", &mut self.reference, &named)?;
            }
        }
        // Fetching by commit needs no name for it.
        if self.reference.is_empty() && !self.fetch_by_commit {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    /// The op's description.
    pub(super) fn source(&self, keep_git_dir: bool, checksum: Option<String>) -> Git {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let path = super::path::absolute("/", &self.path);
        let subdir = super::path::absolute("/", &self.subdir);
        Git {
            full_url: Some(self.remote.clone()),
            reference: some(&self.reference),
            subdir: some(subdir.trim_start_matches('/')),
            checksum,
            keep_git_dir,
            skip_submodules: self.submodules == Some(false),
            commit_mtime: self.commit_mtime,
            fetch_by_commit: self.fetch_by_commit,
            auth_header_secret: Some(GIT_AUTH_HEADER.into()),
            auth_token_secret: Some(GIT_AUTH_TOKEN.into()),
            known_ssh_hosts: None,
            ssh_sock: self.ssh.then(|| "default".into()),
            ..Git::new(format!("{}{path}", self.host))
        }
    }
}

fn prefixed(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_string() } else { format!("{prefix}{name}") }
}

/// A part of a URL without its `%41`.
pub(super) fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|b| b.and_then(|b| (b as char).to_digit(16)));
                match digits {
                    [Some(high), Some(low)] => (high * 16 + low) as u8,
                    _ => return Err(format!("invalid URL escape in {text:?}")),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} isn't UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_repository() {
        assert_eq!(GitReference::parse("https://h/r", true).unwrap().unwrap().path, "/r");
        assert_eq!(GitReference::parse("r", true), None);
        let paths =
            ["https://h/r.git/", "https://h/r.git.x", "http://h/r.git:#b", "custom.xyz/r.git", ".git", "./.git"];
        for text in paths {
            assert_eq!(GitReference::parse(text, false), None, "{text}");
        }
        for text in ["x", "./x.git", "https://host/file.tar", "ftp://h/x.git", "github.com/a/b", "a@b", "/a@b:c", ""] {
            assert_eq!(GitReference::parse(text, false), None, "{text}");
        }
        for (text, host, path, ssh) in [
            ("https://github.com/a/b.git", "github.com", "/a/b.git", false),
            ("http://user@h:8080/b.git", "h:8080", "/b.git", false),
            ("git://h/b", "h", "/b", false),
            ("ssh://git@h/b", "h", "/b", true),
            ("git@h:a/b.git", "h", "a/b.git", true),
        ] {
            let git = GitReference::parse(text, false).unwrap().unwrap();
            assert_eq!((git.host.as_str(), git.path.as_str(), git.ssh), (host, path, ssh), "{text}");
            assert_eq!(git.remote, text);
        }
    }

    #[test]
    fn contexts_that_are_repositories() {
        let git = git_source("github.com/a/b#v1:d", false, true).unwrap().unwrap();
        assert_eq!((git.full_url.as_deref(), git.subdir.as_deref()), (Some("https://github.com/a/b"), Some("d")));
        assert!(git.commit_mtime && !git.keep_git_dir);
        assert!(git_source("https://h/r.git?keep-git-dir=1&checksum=ab", false, false).unwrap().unwrap().keep_git_dir);
        assert!(git_source("https://h/r.git?x=1", false, false).unwrap().is_err());
        for text in ["https://h/r.tar", ".", "/a.git", "a/b"] {
            assert!(git_source(text, false, false).is_none(), "{text}");
        }
    }

    #[test]
    fn fragments_and_queries() {
        let parse = |rest: &str| GitReference::parse(&format!("https://h/r.git{rest}"), false).unwrap();
        for (rest, reference, subdir, checksum) in [
            ("", "", "", ""),
            ("#main", "main", "", ""),
            ("#main:a/b", "main", "a/b", ""),
            ("#:a", "", "a", ""),
            ("?tag=v1&subdir=x%2Fy", "refs/tags/v1", "x/y", ""),
            ("?branch=refs/heads/b", "refs/heads/b", "", ""),
            ("?commit=abc", "abc", "", "abc"),
            ("?ref=main#main", "main", "", ""),
            ("?fetch-by-commit&checksum=abc", "", "", "abc"),
        ] {
            let git = parse(rest).unwrap();
            assert_eq!((&*git.reference, &*git.subdir, &*git.checksum), (reference, subdir, checksum), "{rest}");
            assert_eq!(git.remote, "https://h/r.git");
        }
        let git = parse("?keep-git-dir&submodules=false&mtime=commit").unwrap();
        assert_eq!((git.keep_git_dir, git.submodules, git.commit_mtime), (Some(true), Some(false), true));
        for rest in
            ["?ref=a#b", "?tag=a&branch=b", "?x=1", "?ref=", "?ref=a&ref=b", "?submodules=maybe", "?mtime=x", "?ref=%g"]
        {
            assert!(parse(rest).is_err(), "{rest}");
        }
    }
}
