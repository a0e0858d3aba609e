//! What a name in a repository means, and which names and addresses are fit to be asked for.

use super::GitError;
use crate::error::Result;

/// An object of a repository, and the name that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The id of the commit, or of the annotated tag.
    pub object: String,
    /// The commit that the tag is for, if there is a tag.
    pub commit: Option<String>,
    /// `refs/heads/main`, `refs/tags/v1` …; none for a bare commit id.
    pub name: Option<String>,
}

impl Revision {
    pub(super) fn of_commit(id: &str) -> Self {
        Self { object: id.into(), commit: None, name: None }
    }

    /// The commit, where it is known; else the object.
    pub fn id(&self) -> &str {
        self.commit.as_deref().unwrap_or(&self.object)
    }

    /// Chooses among the lines of `git ls-remote`: a full name first, then a branch, then a tag. An empty name
    /// is HEAD, and the branch that it stands for.
    pub(super) fn choose(listed: &str, reference: &str) -> Option<Self> {
        let lines = || listed.lines().filter_map(|line| line.split_once('\t'));
        let id_of =
            |name: &str| lines().find(|(id, listed)| *listed == name && is_commit(id)).map(|(id, _)| id.to_string());
        if reference.is_empty() {
            let branch = lines().find_map(|(what, name)| what.strip_prefix("ref: ").filter(|_| name == "HEAD"));
            let name = branch.filter(|name| check_name(name).is_ok()).map(str::to_string);
            return id_of("HEAD").map(|object| Self { object, commit: None, name });
        }
        let below = |prefix: &str| format!("{prefix}{}", reference.strip_prefix(prefix).unwrap_or(reference));
        [below("refs/"), below("refs/heads/"), below("refs/tags/")].into_iter().find_map(|name| {
            let object = id_of(&name)?;
            let commit = if name.starts_with("refs/tags/") { id_of(&format!("{name}^{{}}")) } else { None };
            Some(Self { object, commit, name: Some(name) })
        })
    }
}

/// The id of an object, of either of git's hashes.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses what git would read as an option, a pattern or a pair of names (git-check-ref-format(1)).
pub fn check_name(name: &str) -> Result<()> {
    let bad = |reason| Err(GitError::Malformed { what: crate::http::clean(name), reason }.into());
    if name.starts_with('-') {
        return bad("the name of a branch or tag can't begin with `-`");
    }
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    if name.contains(forbidden) || name.contains("..") || name.contains("@{") || name.ends_with('/') {
        return bad("this can't be the name of a branch or tag");
    }
    Ok(())
}

/// Refuses addresses with which `git` or `ssh` would do something else than connect there.
pub fn check_url(url: &str) -> Result<()> {
    let bad = |reason| {
        let what = super::Remote::new(url).shown();
        Err(GitError::Malformed { what, reason }.into())
    };
    let (is_url, rest) = match url.split_once("://") {
        Some(("http" | "https" | "ssh" | "git", rest)) => (true, rest),
        Some(_) => return bad("only http, https, ssh and git addresses can be fetched"),
        None => (false, url),
    };
    let authority = &rest[..rest.find(if is_url { '/' } else { ':' }).unwrap_or(rest.len())];
    let host = authority.rsplit('@').next().unwrap_or_default();
    if url.starts_with('-') || authority.starts_with('-') || host.is_empty() || host.starts_with('-') {
        return bad("it names no host");
    }
    // without a scheme, only `user@host:path` is an address: a path, or a helper's `ext::`, is none
    let is_address = is_url || (authority.contains('@') && !authority.contains('/') && !rest.contains("::"));
    if url.chars().any(char::is_control) || !is_address {
        return bad("it is no address of a repository");
    }
    Ok(())
}

/// Up to ten of the listed branches and tags, those that look most like the name first.
pub fn nearest(listed: &str, name: &str) -> Vec<String> {
    let short = |line: &str| {
        let (_, name) = line.split_once('\t')?;
        let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"))?;
        (!name.ends_with("^{}")).then(|| crate::http::clean(name))
    };
    let mut names: Vec<String> = listed.lines().filter_map(short).collect();
    let shared = |other: &str| {
        let bytes = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
        bytes(name, other) + name.bytes().rev().zip(other.bytes().rev()).take_while(|(x, y)| x == y).count()
    };
    names.sort_by_key(|other| std::cmp::Reverse(shared(other)));
    names.dedup();
    names.truncate(10);
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> String {
        format!("{n:040x}")
    }

    #[test]
    fn branches_come_before_tags_and_tags_are_peeled() {
        let listed = [
            (1, "refs/heads/x/main"),
            (2, "refs/heads/main"),
            (3, "refs/tags/main"),
            (4, "refs/tags/v1"),
            (5, "refs/tags/v1^{}"),
            (6, "refs/pull/7/head"),
        ];
        let listed: String = listed.iter().map(|(n, name)| format!("{}\t{name}\n", id(*n))).collect();
        for (reference, object, commit, name) in [
            ("main", 2, None, "refs/heads/main"),
            ("refs/tags/main", 3, None, "refs/tags/main"),
            ("tags/main", 3, None, "refs/tags/main"),
            ("v1", 4, Some(5), "refs/tags/v1"),
            ("refs/tags/v1", 4, Some(5), "refs/tags/v1"),
            ("refs/pull/7/head", 6, None, "refs/pull/7/head"),
            ("pull/7/head", 6, None, "refs/pull/7/head"),
        ] {
            let want = Revision { object: id(object), commit: commit.map(id), name: Some(name.into()) };
            assert_eq!(Revision::choose(&listed, reference), Some(want), "{reference}");
        }
        assert_eq!(Revision::choose(&listed, "head"), None);
        assert_eq!(Revision::choose("", "main"), None);
        let head = format!("ref: refs/heads/main\tHEAD\n{}\tHEAD\n", id(9));
        let want = Revision { object: id(9), commit: None, name: Some("refs/heads/main".into()) };
        assert_eq!(Revision::choose(&head, ""), Some(want));
        assert_eq!(nearest(&listed, "mainn")[0], "main");
    }

    #[test]
    fn nothing_becomes_an_option() {
        for name in ["main", "refs/tags/v1.0", "a-b", "", "feature/x", &id(3)] {
            check_name(name).expect(name);
        }
        for name in ["--upload-pack=x", "-x", "a b", "a:b", "a..b", "+a*", "a\n", "a^", "x@{1}", "a/"] {
            check_name(name).expect_err(name);
        }
        for url in ["https://h/r.git", "http://u:p@h:80/r", "git@h:r", "ssh://git@h:22/r", "git://h/r"] {
            check_url(url).expect(url);
        }
        let bad = [
            "ssh://-oProxyCommand=x/r",
            "ext::sh -c x",
            "file:///r",
            "-x@h:r",
            "u@-oProxyCommand=x:r",
            "https:///r",
            "ssh://u@-x/r",
            "/etc",
            "https://h/a\nb",
            "ext::x@h:r",
        ];
        for url in bad {
            check_url(url).expect_err(url);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_lists(listed in "(([0-9a-f]{40}|ref: |x)[\t ](refs/|HEAD|\\PC{0,5})\n?){0,5}", name in "\\PC{0,8}") {
            let _ = Revision::choose(&listed, &name);
            let _ = nearest(&listed, &name);
            if check_name(&name).is_ok() {
                prop_assert!(!name.starts_with('-') && !name.contains(':'));
            }
        }
    }
}
