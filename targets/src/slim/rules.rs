//! Which files each pass removes. Every rule names its directory in full; what it can't be sure of, it leaves.
//!
//! The lists follow what distributions leave out themselves where space counts: Debian's slim images
//! (debuerreotype, `.slimify-excludes`) and Ubuntu's minimal ones (`/etc/dpkg/dpkg.cfg.d/excludes`), both of which
//! keep `copyright`, since a copy of a package has to carry its licence.

use std::{collections::BTreeSet, io::Read};

use routerpack_rootfs::{Entry, Kind, Tree, path};

use super::{Pass, SlimError, languages::Languages, pattern};

/// Files of one kind in one place.
struct Rule {
    pass: Pass,
    /// See [`pattern::fits`].
    pattern: &'static str,
    test: Test,
}

/// What a file has to be, besides being in the place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    /// Anything but a directory.
    Any,
    /// No licence text; nor a link in first place, by which a package shares another one's directory.
    NoLicence,
    /// Of a language that the image does not speak: the first component behind the pattern's root is its name.
    OtherLanguage,
    /// The image speaks no language but C.
    NoLanguage,
    /// Bytecode whose source is there, too: without it, the bytecode is the program.
    HasSource,
    /// A library for linking, by its first bytes (ar(5)): `.a` alone may be anything.
    Archive,
    /// A file right there, no link.
    File,
    /// Not Python's own settings, which its modules read at run time.
    NoPythonConfig,
}

const fn rule(pass: Pass, pattern: &'static str, test: Test) -> Rule {
    Rule { pass, pattern, test }
}

const RULES: &[Rule] = &[
    rule(Pass::Docs, "usr/share/doc/**", Test::NoLicence),
    rule(Pass::Docs, "usr/local/share/doc/**", Test::NoLicence),
    rule(Pass::Docs, "usr/local/doc/**", Test::NoLicence),
    rule(Pass::Docs, "usr/share/doc-base/**", Test::Any),
    rule(Pass::Docs, "usr/share/gtk-doc/**", Test::NoLicence),
    rule(Pass::Docs, "usr/share/help/**", Test::NoLicence),
    rule(Pass::Docs, "usr/share/info/**", Test::Any),
    rule(Pass::Docs, "usr/local/share/info/**", Test::Any),
    rule(Pass::Docs, "usr/share/lintian/**", Test::Any),
    rule(Pass::Docs, "usr/share/linda/**", Test::Any),
    rule(Pass::Man, "usr/share/man/**", Test::Any),
    rule(Pass::Man, "usr/local/man/**", Test::Any),
    rule(Pass::Man, "usr/local/share/man/**", Test::Any),
    rule(Pass::Man, "var/cache/man/**", Test::Any),
    // gettext's catalogues, then glibc's compiled locales (setlocale(3)), then the sources of the latter
    rule(Pass::Locales, "usr/share/locale/*/**", Test::OtherLanguage),
    rule(Pass::Locales, "usr/local/share/locale/*/**", Test::OtherLanguage),
    rule(Pass::Locales, "usr/lib/locale/*/**", Test::OtherLanguage),
    rule(Pass::Locales, "usr/lib/locale/locale-archive", Test::NoLanguage),
    rule(Pass::Locales, "usr/share/i18n/locales/*", Test::File),
    rule(Pass::Locales, "usr/share/i18n/charmaps/*", Test::File),
    // apt and dpkg; the database of what is installed (/var/lib/dpkg/status) stays
    rule(Pass::Caches, "var/cache/apt/*.bin", Test::Any),
    rule(Pass::Caches, "var/cache/apt/archives/**", Test::File),
    rule(Pass::Caches, "var/lib/apt/lists/**", Test::File),
    rule(Pass::Caches, "var/cache/debconf/*-old", Test::File),
    rule(Pass::Caches, "var/lib/dpkg/*-old", Test::File),
    rule(Pass::Caches, "var/log/apt/*", Test::File),
    rule(Pass::Caches, "var/log/dpkg.log*", Test::File),
    rule(Pass::Caches, "var/log/alternatives.log*", Test::File),
    rule(Pass::Caches, "var/log/bootstrap.log", Test::File),
    // ldconfig's own shortcut; the loader reads /etc/ld.so.cache
    rule(Pass::Caches, "var/cache/ldconfig/aux-cache", Test::File),
    // apk (/lib/apk/db is the database of what is installed), dnf, yum, zypper, pacman, xbps
    rule(Pass::Caches, "var/cache/apk/**", Test::Any),
    rule(Pass::Caches, "var/log/apk.log", Test::File),
    rule(Pass::Caches, "var/cache/dnf/**", Test::Any),
    rule(Pass::Caches, "var/cache/libdnf5/**", Test::Any),
    rule(Pass::Caches, "var/cache/yum/**", Test::Any),
    rule(Pass::Caches, "var/log/dnf*.log*", Test::File),
    rule(Pass::Caches, "var/log/yum.log*", Test::File),
    rule(Pass::Caches, "var/cache/zypp/**", Test::Any),
    rule(Pass::Caches, "var/cache/pacman/pkg/**", Test::Any),
    rule(Pass::Caches, "var/lib/pacman/sync/**", Test::Any),
    rule(Pass::Caches, "var/cache/xbps/**", Test::Any),
    // languages' package managers; other things in ~/.cache (models, data sets) may be what the image is for
    rule(Pass::Caches, "root/.cache/pip/**", Test::Any),
    rule(Pass::Caches, "root/.cache/uv/**", Test::Any),
    rule(Pass::Caches, "root/.cache/go-build/**", Test::Any),
    rule(Pass::Caches, "root/.cache/yarn/**", Test::Any),
    rule(Pass::Caches, "root/.cache/node-gyp/**", Test::Any),
    rule(Pass::Caches, "root/.cache/composer/**", Test::Any),
    rule(Pass::Caches, "root/.npm/_cacache/**", Test::Any),
    rule(Pass::Caches, "root/.npm/_logs/**", Test::Any),
    rule(Pass::Caches, "root/.cargo/registry/cache/**", Test::Any),
    rule(Pass::Caches, "usr/local/cargo/registry/cache/**", Test::Any),
    rule(Pass::Caches, "go/pkg/mod/cache/**", Test::Any),
    rule(Pass::Caches, "root/go/pkg/mod/cache/**", Test::Any),
    rule(Pass::Caches, "usr/local/share/.cache/yarn/**", Test::Any),
    rule(Pass::Caches, "usr/local/bundle/cache/*.gem", Test::Any),
    rule(Pass::Caches, "usr/local/lib/ruby/gems/*/cache/*.gem", Test::Any),
    rule(Pass::Caches, "usr/lib/ruby/gems/*/cache/*.gem", Test::Any),
    rule(Pass::Caches, "var/lib/gems/*/cache/*.gem", Test::Any),
    rule(Pass::Caches, "home/*/.cache/pip/**", Test::Any),
    rule(Pass::Caches, "home/*/.cache/uv/**", Test::Any),
    rule(Pass::Caches, "home/*/.npm/_cacache/**", Test::Any),
    // PEP 3147, and the bytecode that Python 2 laid beside its source
    rule(Pass::Pycache, "**/__pycache__/*.pyc", Test::HasSource),
    rule(Pass::Pycache, "**/__pycache__/*.pyo", Test::HasSource),
    rule(Pass::Pycache, "**/*.pyc", Test::HasSource),
    rule(Pass::Pycache, "**/*.pyo", Test::HasSource),
    rule(Pass::Dev, "usr/include/**", Test::NoPythonConfig),
    rule(Pass::Dev, "usr/local/include/**", Test::NoPythonConfig),
    rule(Pass::Dev, "lib/**/*.a", Test::Archive),
    rule(Pass::Dev, "usr/lib/**/*.a", Test::Archive),
    rule(Pass::Dev, "usr/lib32/**/*.a", Test::Archive),
    rule(Pass::Dev, "usr/lib64/**/*.a", Test::Archive),
    rule(Pass::Dev, "usr/local/lib/**/*.a", Test::Archive),
    // libtool's descriptions of libraries; deeper down they describe plug-ins, which are found by them
    rule(Pass::Dev, "usr/lib/*.la", Test::File),
    rule(Pass::Dev, "usr/lib/*-linux-*/*.la", Test::File),
    rule(Pass::Dev, "usr/lib64/*.la", Test::File),
    rule(Pass::Dev, "usr/local/lib/*.la", Test::File),
    // what the C library's start is linked from
    rule(Pass::Dev, "usr/lib/*crt*.o", Test::File),
    rule(Pass::Dev, "usr/lib/*-linux-*/*crt*.o", Test::File),
    rule(Pass::Dev, "usr/lib64/*crt*.o", Test::File),
    rule(Pass::Dev, "usr/lib/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/lib/*-linux-*/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/lib64/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/share/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/local/lib/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/local/share/pkgconfig/**", Test::Any),
    rule(Pass::Dev, "usr/lib/cmake/**", Test::Any),
    rule(Pass::Dev, "usr/lib/*-linux-*/cmake/**", Test::Any),
    rule(Pass::Dev, "usr/lib64/cmake/**", Test::Any),
    rule(Pass::Dev, "usr/local/lib/cmake/**", Test::Any),
    rule(Pass::Dev, "usr/share/aclocal/**", Test::Any),
    rule(Pass::Dev, "usr/local/share/aclocal/**", Test::Any),
    // debug information that was split off (GDB, "Debugging Information in Separate Files")
    rule(Pass::Strip, "usr/lib/debug/**", Test::Any),
];

/// How a licence's file is named, in lower case: Debian's `copyright`, and what GNU and others use.
const LICENCES: [&[u8]; 6] = [b"copyright", b"license", b"licence", b"copying", b"notice", b"unlicense"];

/// The rules of the passes that were asked for.
pub(super) struct Rules {
    /// Each with its pattern's root.
    rules: Vec<(&'static Rule, &'static str)>,
    languages: Languages,
}

impl Rules {
    pub fn new(passes: &BTreeSet<Pass>, env: &[String]) -> Self {
        let chosen = RULES.iter().filter(|rule| passes.contains(&rule.pass));
        let rules = chosen.map(|rule| (rule, pattern::root(rule.pattern))).collect();
        Self { rules, languages: Languages::of(env) }
    }

    /// The first rule that wants an entry gone: its pass, and the directory that it is about.
    pub fn matching(&self, tree: &Tree, entry: &Entry) -> Result<Option<(Pass, &'static str)>, SlimError> {
        for (rule, root) in &self.rules {
            let path = &entry.path;
            if path.starts_with(root.as_bytes())
                && pattern::fits(rule.pattern, path)
                && self.passes_test(rule.test, root, tree, entry)?
            {
                return Ok(Some((rule.pass, root)));
            }
        }
        Ok(None)
    }

    fn passes_test(&self, test: Test, root: &str, tree: &Tree, entry: &Entry) -> Result<bool, SlimError> {
        let below = entry.path.get(root.len() + 1..).unwrap_or_default();
        let name = path::split(&entry.path).map_or(&entry.path[..], |(_, name)| name);
        Ok(match test {
            Test::Any => true,
            Test::File => entry.kind == Kind::File,
            Test::NoLicence => {
                let name = name.to_ascii_lowercase();
                let is_shared = entry.kind == Kind::Symlink && !below.contains(&b'/');
                !is_shared && !LICENCES.iter().any(|licence| name.starts_with(licence))
            }
            Test::OtherLanguage => !self.languages.has(below.split(|b| *b == b'/').next().unwrap_or_default()),
            Test::NoLanguage => !self.languages.any(),
            Test::HasSource => entry.kind == Kind::File && source(&entry.path).is_some_and(|s| is_file(tree, &s)),
            Test::Archive => entry.kind == Kind::File && is_archive(tree, entry)?,
            Test::NoPythonConfig => !name.starts_with(b"pyconfig"),
        })
    }
}

/// Where the source of bytecode lies: `a/__pycache__/m.cpython-311.opt-1.pyc` and `a/m.pyc` are made of `a/m.py`.
fn source(bytecode: &[u8]) -> Option<Vec<u8>> {
    let (dir, name) = path::split(bytecode)?;
    let in_cache = dir == b"__pycache__" || dir.ends_with(b"/__pycache__");
    let stem = match in_cache {
        true => name.split(|b| *b == b'.').next()?,
        false => &name[..name.len() - b".pyc".len()],
    };
    let dir = if in_cache { path::parent(dir).unwrap_or_default() } else { dir };
    Some(path::join(dir, &[stem, b".py"].concat()))
}

fn is_file(tree: &Tree, asked: &[u8]) -> bool {
    let found = tree.resolve(asked, true).ok();
    found.and_then(|clean| tree.index.get(&clean)).is_some_and(|e| e.kind == Kind::File)
}

fn is_archive(tree: &Tree, entry: &Entry) -> Result<bool, SlimError> {
    let mut start = Vec::new();
    let read = tree.content(entry).and_then(|content| content.reader().take(8).read_to_end(&mut start));
    read.map_err(|source| SlimError::Read { path: path::show(&entry.path), source })?;
    Ok(start == b"!<arch>\n" || start == b"!<thin>\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use routerpack_rootfs::{Index, Stratum};

    use super::*;

    /// Which pass removes what from a tree that has all these files.
    fn removed<'a>(files: &[&'a str], env: &[&str], passes: &[Pass]) -> Vec<(&'a str, Pass)> {
        let dir = tempfile::tempdir().unwrap();
        let entry = |name: &&str| {
            let (name, link) = name.split_once(" -> ").unwrap_or((name, ""));
            if !link.is_empty() {
                let mut entry = Entry::new(name.as_bytes(), Kind::Symlink, 0o777);
                entry.extra.get_or_insert_default().link = link.into();
                return entry;
            }
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            let content: &[u8] = if name.contains("real") { b"!<arch>\nx" } else { b"something" };
            std::fs::write(dir.path().join(name), content).unwrap();
            Entry { size: content.len() as u64, ..Entry::new(name.as_bytes(), Kind::File, 0o644) }
        };
        let index = Arc::new(Index::new(files.iter().map(entry).collect()));
        let tree = Tree::new(vec![Stratum::Dir { root: dir.path().to_path_buf(), index }]).unwrap();
        let env: Vec<String> = env.iter().map(|e| e.to_string()).collect();
        let rules = Rules::new(&passes.iter().copied().collect(), &env);
        let pass = |name: &&'a str| {
            let path = name.split(" -> ").next().unwrap();
            let found = rules.matching(&tree, tree.index.get(path.as_bytes()).unwrap()).unwrap();
            found.map(|(pass, _)| (path, pass))
        };
        files.iter().filter_map(pass).collect()
    }

    #[test]
    fn each_rule_takes_what_it_names_and_no_more() {
        for (file, pass) in [
            ("usr/share/doc/bash/README", Some(Pass::Docs)),
            ("usr/share/doc/bash/copyright", None),
            ("usr/share/doc/bash/COPYING.gz", None),
            ("usr/share/doc/bash/LICENSE-MIT", None),
            ("usr/share/doc/libx -> liby", None),
            ("usr/share/doc/bash/NEWS -> ../x/NEWS", Some(Pass::Docs)),
            ("usr/share/common-licenses/GPL-3", None),
            ("usr/share/docbook/x", None),
            ("usr/share/info/dir", Some(Pass::Docs)),
            ("usr/share/man/man1/ls.1.gz", Some(Pass::Man)),
            ("usr/share/manpages.txt", None),
            ("usr/share/locale/de/LC_MESSAGES/x.mo", Some(Pass::Locales)),
            ("usr/share/locale/en_GB/LC_MESSAGES/x.mo", None),
            ("usr/share/locale/locale.alias", None),
            ("usr/lib/locale/C.utf8/LC_CTYPE", None),
            ("usr/lib/locale/fr_FR/LC_CTYPE", Some(Pass::Locales)),
            ("usr/lib/locale/locale-archive", None),
            ("var/cache/apt/pkgcache.bin", Some(Pass::Caches)),
            ("var/cache/apt/archives/a.deb", Some(Pass::Caches)),
            ("var/lib/apt/lists/host_dists_x", Some(Pass::Caches)),
            ("var/lib/apt/extended_states", None),
            ("var/lib/dpkg/status", None),
            ("var/lib/dpkg/status-old", Some(Pass::Caches)),
            ("var/cache/debconf/templates.dat", None),
            ("var/cache/debconf/templates.dat-old", Some(Pass::Caches)),
            ("lib/apk/db/installed", None),
            ("var/cache/apk/APKINDEX.1.tar.gz", Some(Pass::Caches)),
            ("root/.cache/pip/http/x", Some(Pass::Caches)),
            ("root/.cache/huggingface/model.bin", None),
            ("var/log/app.log", None),
            ("var/log/dpkg.log", Some(Pass::Caches)),
            ("app/m.py", None),
            ("app/__pycache__/m.cpython-311.pyc", Some(Pass::Pycache)),
            ("app/__pycache__/m.cpython-311.opt-1.pyc", Some(Pass::Pycache)),
            ("app/__pycache__/gone.cpython-311.pyc", None),
            ("app/m.pyc", Some(Pass::Pycache)),
            ("app/only.pyc", None),
            ("top.py", None),
            ("top.pyc", Some(Pass::Pycache)),
            ("__pycache__/top.cpython-311.pyc", Some(Pass::Pycache)),
            ("usr/include/stdio.h", Some(Pass::Dev)),
            ("usr/include/python3.11/pyconfig.h", None),
            ("app/include/a.h", None),
            ("usr/lib/real.a", Some(Pass::Dev)),
            ("usr/lib/data.a", None),
            ("usr/lib/x86_64-linux-gnu/real.a", Some(Pass::Dev)),
            ("usr/lib/x86_64-linux-gnu/libx.la", Some(Pass::Dev)),
            ("usr/lib/x86_64-linux-gnu/ImageMagick/coders/png.la", None),
            ("usr/lib/x86_64-linux-gnu/Scrt1.o", Some(Pass::Dev)),
            ("usr/lib/x86_64-linux-gnu/libx.so.1", None),
            ("usr/lib/pkgconfig/x.pc", Some(Pass::Dev)),
            ("usr/lib/debug/.build-id/ab/cd.debug", Some(Pass::Strip)),
        ] {
            let files: Vec<&str> = ["app/m.py", "top.py"].into_iter().chain([file]).collect();
            let all = removed(&files, &["LANG=en_GB.UTF-8"], &Pass::ALL);
            let path = file.split(" -> ").next().unwrap();
            let found = all.iter().find(|(name, _)| *name == path).map(|(_, pass)| *pass);
            assert_eq!(found, pass, "{file}");
            if let Some(pass) = pass {
                let others: Vec<Pass> = Pass::ALL.into_iter().filter(|p| *p != pass).collect();
                assert_eq!(removed(&files, &[], &others), [], "{file}: only when it is asked for");
            }
        }
    }

    #[test]
    fn an_archive_of_locales_goes_with_the_last_language() {
        let archive = ["usr/lib/locale/locale-archive"];
        for (env, goes) in [(&[][..], true), (&["LANG=C"], true), (&["LC_ALL=C.UTF-8"], false), (&["LANG=de"], false)] {
            assert_eq!(removed(&archive, env, &[Pass::Locales]).len(), usize::from(goes), "{env:?}");
        }
    }

    #[test]
    fn patterns_are_written_as_the_index_has_paths() {
        for rule in RULES {
            let clean = path::clean(rule.pattern.as_bytes()).unwrap();
            assert_eq!(clean, rule.pattern.as_bytes(), "{}", rule.pattern);
            assert!(rule.test != Test::OtherLanguage || rule.pattern.ends_with("/*/**"), "{}", rule.pattern);
        }
    }
}
