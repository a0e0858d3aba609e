//! Who owns what an op makes: numbers, or names out of the image's own user and group files
//! (BuildKit, `solver/llbsolver/ops/user_linux.go`; file formats: passwd(5), group(5)).
//!
//! BuildKit takes a name that it can't find for root. Where a Dockerfile asks for the owner (`COPY --chown`) that is an
//! error here, as it was in Docker's first builder: files that silently belong to root are found when the container runs.
//! WORKDIR's directory gets its owner from USER by the way, often in an image without `/etc/passwd`: that stays root.

use routerpack_graph::pb::{ChownOpt, NamedUserOpt, UserOpt, user_opt::User};
use routerpack_rootfs::{Kind, Tree};

use crate::Error;

/// No sane user or group file is larger.
const MAX_FILE: u64 = 16 << 20;

/// User and group number. None: the op says nothing, and everything keeps its own.
pub(crate) type Owner = Option<(u32, u32)>;

/// What a name that the image doesn't know counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Error,
    Root,
}

/// Looks an owner up; `tree` gives the tree behind an input number of the op. A user without a group
/// brings the same number, or for a name the user's group, as its group.
pub(crate) fn look_up<'t>(
    chown: Option<&ChownOpt>,
    unknown: Unknown,
    mut tree: impl FnMut(i64) -> Result<&'t Tree, Error>,
) -> Result<Owner, Error> {
    let mut known = |named: &NamedUserOpt, file| match users(&named.name, named.input, &mut tree) {
        Ok(tree) => match find(tree, file, &named.name) {
            Err(Error::UnknownOwner { .. }) if unknown == Unknown::Root => Ok(None),
            found => found.map(Some),
        },
        Err(Error::NoUsers(_)) if unknown == Unknown::Root => Ok(None),
        Err(error) => Err(error),
    };
    let Some(chown) = chown else { return Ok(None) };
    let (mut uid, mut gid) = (0, 0);
    match named(&chown.user) {
        Some(User::ById(id)) => (uid, gid) = (*id, *id),
        Some(User::ByName(user)) => {
            if let Some(fields) = known(user, "/etc/passwd")? {
                (uid, gid) = (number(&fields, 2), number(&fields, 3));
            }
        }
        None => {}
    }
    match named(&chown.group) {
        Some(User::ById(id)) => gid = *id,
        Some(User::ByName(group)) => {
            if let Some(fields) = known(group, "/etc/group")? {
                gid = number(&fields, 2);
            }
        }
        None => {}
    }
    Ok(Some((uid, gid)))
}

fn named(opt: &Option<UserOpt>) -> Option<&User> {
    opt.as_ref()?.user.as_ref()
}

fn users<'t>(name: &str, input: i64, tree: &mut impl FnMut(i64) -> Result<&'t Tree, Error>) -> Result<&'t Tree, Error> {
    if input < 0 { Err(Error::NoUsers(name.to_string())) } else { tree(input) }
}

/// The fields of the first line of a file whose first field is the name.
fn find(tree: &Tree, file: &'static str, name: &str) -> Result<Vec<String>, Error> {
    let unknown = || Error::UnknownOwner { name: name.to_string(), file };
    let path = tree.resolve(file.as_bytes(), true)?;
    let entry = tree.index.get(&path).filter(|e| e.kind == Kind::File).ok_or_else(unknown)?;
    let text =
        tree.read(entry, MAX_FILE).map_err(|source| Error::Io { doing: "read", path: file.to_string(), source })?;
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim().split(':').map(String::from).collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[0] == name)
        .ok_or_else(unknown)
}

/// A number that can't be read is 0, as in moby/sys/user.
fn number(fields: &[String], at: usize) -> u32 {
    fields.get(at).and_then(|text| text.parse().ok()).unwrap_or(0)
}
