//! Who a step runs as: `user`, `uid`, `user:group`, looked up in the root filesystem's own passwd and group files
//! (rules of `moby/sys/user`, `GetExecUser`).

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::{Doing, Error};
use crate::walk;

/// More is no passwd file.
const MAX_FILE: usize = 8 << 20;

/// Ids of the command, and its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups; the first one is `gid`, unless the user's groups have it anyway.
    pub groups: Vec<u32>,
    /// From passwd; `/` if the user has no entry.
    pub home: String,
}

/// Looks `user` up in the tree `root`.
pub fn resolve(root: impl AsFd, user: &str) -> Result<Identity, Error> {
    let file = |path: &str| match walk::read(&root, path, MAX_FILE) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL | Errno::LOOP) => Ok(String::new()),
        Err(e) => Err(e).doing(|| format!("read {path} of the root filesystem")),
    };
    look_up(user, &file("/etc/passwd")?, &file("/etc/group")?)
}

fn look_up(user: &str, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let bad = |reason: String| Error::User { user: user.into(), reason };
    let number = id(name);
    let entry = passwd
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|f| f.len() >= 4 && (f[0] == name || (number.is_some() && f[2].parse().ok() == number)));
    let (uid, mut gid, home, login) = match (&entry, number) {
        (Some(f), _) => {
            let broken = || bad("its line in /etc/passwd has no numeric id".into());
            let uid = f[2].parse().map_err(|_| broken())?;
            let gid = f[3].parse().map_err(|_| broken())?;
            let home = f.get(5).copied().filter(|h| !h.is_empty()).unwrap_or("/");
            (uid, gid, home, Some(f[0]))
        }
        (None, Some(uid)) => (uid, 0, "/", None),
        (None, None) => return Err(bad(format!("no user `{name}` in /etc/passwd of the root filesystem"))),
    };
    let mut groups = Vec::new();
    let lines = || group.lines().map(|l| l.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 3);
    if let Some(wanted) = group_name {
        let number = id(wanted);
        let found = lines().find(|f| f[0] == wanted || (number.is_some() && f[2].parse().ok() == number));
        gid = match (found.and_then(|f| f[2].parse().ok()), number) {
            (Some(gid), _) | (None, Some(gid)) => gid,
            (None, None) => {
                return Err(bad(format!("no group `{wanted}` in /etc/group of the root filesystem")));
            }
        };
    } else if let Some(login) = login {
        groups = lines()
            .filter(|f| f.get(3).is_some_and(|members| members.split(',').any(|m| m.trim() == login)))
            .filter_map(|f| f[2].parse().ok())
            .collect();
    }
    // As in BuildKit (`executor/oci`), whose steps have their group among the supplementary ones: a step that changes its group
    // keeps access to what it had.
    if !groups.contains(&gid) {
        groups.insert(0, gid);
    }
    Ok(Identity { uid, gid, groups, home: home.into() })
}

/// A numeric id; what `setuid` takes for "unchanged" is none.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&n: &u32| n <= i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:\n7:x:70:71::/seven:\nbroken:x:a:b::/:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\naudio:x:29:web,pulse\nadm:x:4:web\n";

    #[test]
    fn users_and_groups() {
        let want =
            |uid, gid, groups: &[u32], home: &str| Identity { uid, gid, groups: groups.into(), home: home.into() };
        for (user, identity) in [
            ("", want(0, 0, &[0], "/root")),
            ("root", want(0, 0, &[0], "/root")),
            ("web", want(33, 34, &[34, 29, 4], "/var/www")),
            ("33", want(33, 34, &[34, 29, 4], "/var/www")),
            ("web:adm", want(33, 4, &[4], "/var/www")),
            ("web:1234", want(33, 1234, &[1234], "/var/www")),
            (":audio", want(0, 29, &[29], "/root")),
            ("1000", want(1000, 0, &[0], "/")),
            ("1000:1000", want(1000, 1000, &[1000], "/")),
            ("7", want(70, 71, &[71], "/seven")),
        ] {
            assert_eq!(look_up(user, PASSWD, GROUP), Ok(identity), "{user}");
        }
        for user in ["nobody", "web:nogroup", "broken", "-1", "4294967295"] {
            assert!(look_up(user, PASSWD, GROUP).is_err(), "{user}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_gives_ids_or_an_error(user in "[a-z0-9:]{0,6}", passwd in "([a-c0-2x:,\n]|\\PC){0,60}", group in "[a-c0-2x:,\n]{0,60}") {
            if let Ok(identity) = look_up(&user, &passwd, &group) {
                proptest::prop_assert!(!identity.home.is_empty());
            }
        }
    }

    #[test]
    fn an_image_without_files_has_numbers() {
        assert_eq!(look_up("5:6", "", "").unwrap().gid, 6);
        assert!(look_up("root", "", "").is_err());
        assert_eq!(look_up("", "", "").unwrap().uid, 0);
    }
}
