//! Secrets that open a source: they become an `Authorization` header, and nothing else.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    error::Cause,
    exec::{MAX_SECRET, read_secret},
    executor::Executor,
};

/// A secret that is fit for a header. A line end at its end is the editor's, not the secret's.
pub fn header(executor: &Executor, id: Option<String>) -> Result<Option<String>, Cause> {
    let Some(id) = id else { return Ok(None) };
    let Some(bytes) = read_secret(executor, &id)? else { return Ok(None) };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.trim_end_matches(['\r', '\n']);
    match text.is_empty() || text.len() as u64 > MAX_SECRET || text.chars().any(char::is_control) {
        true => Err(Cause::Unsupported(format!(
            "the secret {id} can't be sent as a header: it is empty, or no single line of text"
        ))),
        false => Ok(Some(text.to_string())),
    }
}

/// RFC 7617.
pub fn basic(user: &str, password: &str) -> String {
    format!("basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_s_example() {
        assert_eq!(basic("Aladdin", "open sesame"), "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
