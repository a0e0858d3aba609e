//! Which of a store's images is meant, by tag or name.

use std::path::Path;

use crate::error::{Error, Result};
use crate::reference::Reference;

/// The indexes of the entries that a tag means (several, when they are for several platforms);
/// `names` has the names of each entry.
pub(super) fn select(store: &Path, names: &[Vec<String>], tag: Option<&str>) -> Result<Vec<usize>> {
    let all = 0..names.len();
    let error = |problem: String| {
        let mut available: Vec<String> = names.iter().flatten().cloned().collect();
        available.sort();
        available.dedup();
        Error::NoImage { store: store.into(), problem, available }
    };
    let tagged = |tag: &str| -> Vec<usize> { all.clone().filter(|i| names[*i].iter().any(|n| is(n, tag))).collect() };
    match tag {
        _ if names.is_empty() => Err(error("it holds no image".into())),
        Some(tag) => match tagged(tag) {
            none if none.is_empty() => Err(error(format!("no image in it is named `{tag}`"))),
            some => Ok(some),
        },
        None if names.windows(2).all(|pair| pair[0] == pair[1]) => Ok(all.collect()),
        None => match tagged("latest") {
            none if none.is_empty() => {
                Err(error("it holds several images and none is tagged `latest`: append :TAG to choose one".into()))
            }
            some => Ok(some),
        },
    }
}

/// Whether a name in a store (`1.0`, or `docker.io/library/busybox:1.0`) is what the user typed
/// (a tag, or a name in any of its forms).
fn is(name: &str, typed: &str) -> bool {
    if name == typed {
        return true;
    }
    if !name.contains([':', '/']) {
        return false;
    }
    let Ok(name) = Reference::parse(name) else { return false };
    name.tag() == Some(typed) || (typed.contains([':', '/']) && Reference::parse(typed).is_ok_and(|t| t == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_finds_its_images() {
        let store: &[&[&str]] = &[&["1.0", "docker.io/library/busybox:1.0"], &["latest"], &["1.0"], &["ghcr.io/a/b:2"]];
        let names: Vec<Vec<String>> = store.iter().map(|n| n.iter().map(|s| s.to_string()).collect()).collect();
        for (tag, want) in [
            (Some("1.0"), &[0, 2][..]),
            (Some("busybox:1.0"), &[0]),
            (Some("docker.io/library/busybox:1.0"), &[0]),
            (Some("2"), &[3]),
            (Some("ghcr.io/a/b:2"), &[3]),
            (Some("latest"), &[1]),
            (None, &[1]),
            (Some("b"), &[]),
            (Some(""), &[]),
        ] {
            match select(Path::new("s"), &names, tag) {
                Ok(found) => assert_eq!(found, want, "{tag:?}"),
                Err(e) => assert!(want.is_empty() && e.to_string().contains("ghcr.io/a/b:2"), "{tag:?}: {e}"),
            }
        }
        assert_eq!(select(Path::new("s"), &names[..1], None).unwrap(), [0]);
        assert_eq!(select(Path::new("s"), &[vec![], vec![]], None).unwrap(), [0, 1]);
        assert!(
            select(Path::new("s"), &[vec!["a".into()], vec!["b".into()]], None)
                .unwrap_err()
                .to_string()
                .contains(":TAG")
        );
        assert!(select(Path::new("s"), &[], None).unwrap_err().to_string().contains("no image"));
    }
}
