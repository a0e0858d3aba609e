//! Values inside RouterOS strings, and text with holes.

/// A RouterOS string that holds exactly these bytes, quotes included.
///
/// In a double-quoted string `"`, `\`, `$` and `?` mean something (MikroTik's scripting page: escape
/// sequences), and a line end would end the command; `\HH` with upper-case digits stands for any byte.
/// Everything but printable ASCII is written that way, so no byte of a value can end its string,
/// name a variable or call a command.
pub fn quote(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for &byte in value {
        match byte {
            b'"' | b'\\' | b'$' => out.extend(['\\', byte as char]),
            b'\n' => out.push_str("\\n"),
            b'?' | 0..=0x1f | 0x7f.. => out.push_str(&format!("\\{byte:02X}")),
            _ => out.push(byte as char),
        }
    }
    out.push('"');
    out
}

/// A template with its `%HOLES%` filled, in one pass: what fills a hole is never looked at again.
///
/// A `%` that opens no known hole stays as it is.
pub fn fill(template: &str, holes: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let hole = after.split_once('%').and_then(|(name, tail)| {
            let (_, value) = holes.iter().find(|(key, _)| *key == name)?;
            Some((value, tail))
        });
        match hole {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_mean_something_are_escaped() {
        for (value, want) in [
            (&b"plain value"[..], r#""plain value""#),
            (b"a\"b", r#""a\"b""#),
            (b"$HOME", r#""\$HOME""#),
            (b"c:\\x", r#""c:\\x""#),
            (b"what?", r#""what\3F""#),
            (b"a\nb\r\t\0", r#""a\nb\0D\09\00""#),
            ("é".as_bytes(), r#""\C3\A9""#),
            (b"[/quit];}", r#""[/quit];}""#),
        ] {
            assert_eq!(quote(value), want);
        }
    }

    #[test]
    fn a_filled_hole_is_not_filled_again() {
        let got = fill("a=%A% b=%B% 100% %C%", &[("A", "%B%"), ("B", "2")]);
        assert_eq!(got, "a=%B% b=2 100% %C%");
    }
}
