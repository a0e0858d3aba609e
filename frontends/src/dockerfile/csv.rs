//! One record of comma-separated values, as `--mount` and `--device` take it.

/// A record that isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// A quote within a field that doesn't begin with one.
    #[error("bare \" in a field that is not quoted")]
    BareQuote,
    /// A quoted field that goes on behind its quote, or has none.
    #[error("extraneous or missing \" in a quoted field")]
    Quote,
}

/// The fields of a record (RFC 4180: a field with commas or quotes stands in quotes, and doubles those within).
pub(super) fn fields(record: &str) -> Result<Vec<String>, CsvError> {
    if record.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err(CsvError::BareQuote);
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// The field up to its closing quote, and what follows that.
fn quoted_field(mut rest: &str) -> Result<(String, &str), CsvError> {
    let mut field = String::new();
    loop {
        let (part, behind) = rest.split_once('"').ok_or(CsvError::Quote)?;
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if behind.is_empty() || behind.starts_with(',') => return Ok((field, behind)),
            None => return Err(CsvError::Quote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (record, expected) in [
            ("a,b=c", Ok(vec!["a", "b=c"])),
            ("a,", Ok(vec!["a", ""])),
            ("\"a,b\",c", Ok(vec!["a,b", "c"])),
            ("\"a\"\"b\"", Ok(vec!["a\"b"])),
            ("", Err(CsvError::Empty)),
            ("a\"b", Err(CsvError::BareQuote)),
            ("\"a\"b", Err(CsvError::Quote)),
            ("\"a", Err(CsvError::Quote)),
        ] {
            let expected = expected.map(|fields| fields.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(fields(record), expected, "{record}");
        }
    }
}
