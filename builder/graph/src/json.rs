//! JSON as Go's `encoding/json` writes it, for the texts whose bytes are hashed or compared.

use serde::Serialize;

/// Compact JSON with `<`, `>`, `&`, U+2028 and U+2029 escaped, as Go does by default. Keys keep the
/// order that the type gives them.
pub fn to_go_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    if !text.contains(ESCAPED) {
        return Ok(text);
    }
    // These characters stand nowhere but in strings, so the whole text can be replaced at once.
    Ok(ESCAPED.iter().fold(text, |text, c| text.replace(*c, &format!("\\u{:04x}", *c as u32))))
}

const ESCAPED: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        assert_eq!(to_go_json(&["a<b> & \"c\"\u{2028}é"]).unwrap(), r#"["a\u003cb\u003e \u0026 \"c\"\u2028é"]"#);
    }
}
