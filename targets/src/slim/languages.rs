//! Which languages an image speaks, by its environment: setlocale(3), gettext's "Locale Names".

/// The languages that the image's environment asks for.
#[derive(Debug, Default)]
pub(super) struct Languages {
    /// Without encoding and modifier: `de_DE`.
    names: Vec<String>,
    /// One of them is not a plain `C` or `POSIX`.
    any: bool,
}

impl Languages {
    /// From `LANG`, `LANGUAGE` and `LC_*`.
    pub fn of(env: &[String]) -> Self {
        let mut found = Self::default();
        for setting in env {
            let Some((name, value)) = setting.split_once('=') else { continue };
            if !matches!(name, "LANG" | "LANGUAGE") && !name.starts_with("LC_") {
                continue;
            }
            for language in value.split(':').filter(|l| !l.is_empty()) {
                found.any |= !matches!(language, "C" | "POSIX");
                found.names.push(bare(language).to_string());
            }
        }
        found
    }

    /// Whether the environment asks for something that is not built into the C library.
    pub fn any(&self) -> bool {
        self.any
    }

    /// Whether a locale's or translation's directory (`de`, `de_DE.utf8`, `sr@latin`) has to stay. `C` and `POSIX`
    /// always do.
    pub fn has(&self, dir: &[u8]) -> bool {
        let Ok(dir) = std::str::from_utf8(dir) else { return true };
        let dir = bare(dir);
        // `de_DE` is looked for as `de_DE`, then as `de`; and who speaks `de` may be served by any `de_…`.
        let fits =
            |name: &String| name == dir || language(name) == dir || (name == language(dir) && !name.contains('_'));
        matches!(dir, "C" | "POSIX") || self.names.iter().any(fits)
    }
}

fn bare(locale: &str) -> &str {
    locale.split(['.', '@']).next().unwrap_or(locale)
}

fn language(locale: &str) -> &str {
    locale.split('_').next().unwrap_or(locale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_which_stay() {
        let env = |texts: &[&str]| Languages::of(&texts.iter().map(|t| t.to_string()).collect::<Vec<_>>());
        for (texts, dir, stays) in [
            (&[][..], "de", false),
            (&[], "C.utf8", true),
            (&[], "POSIX", true),
            (&["LANG=C.UTF-8"], "en", false),
            (&["LANG=de_DE.UTF-8"], "de", true),
            (&["LANG=de_DE.UTF-8"], "de_DE", true),
            (&["LANG=de_DE.UTF-8"], "de_DE.utf8", true),
            (&["LANG=de_DE.UTF-8"], "de_AT", false),
            (&["LANG=de_DE.UTF-8"], "en", false),
            (&["LC_ALL=sr_RS@latin"], "sr@latin", true),
            (&["LANGUAGE=fr:it"], "it_CH", true),
            (&["LC_TIME=fr_FR", "PATH=/de"], "de", false),
        ] {
            assert_eq!(env(texts).has(dir.as_bytes()), stays, "{texts:?} {dir}");
        }
        assert!(!env(&["LANG=C"]).any());
        assert!(env(&["LANG=C.UTF-8"]).any());
    }
}
