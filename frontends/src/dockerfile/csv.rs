//! One record of comma-separated values, as `--mount` and `--device` take it.

use std::ops::Range;

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

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its text, without the quotes around it.
    pub text: String,
    /// Its bytes in the record, quotes included.
    pub range: Range<usize>,
}

impl Field {
    /// Where these bytes of its text are in the record; all of it where quotes are in the way.
    pub fn part(&self, part: Range<usize>) -> Range<usize> {
        match self.range.len() == self.text.len() {
            true => self.range.start + part.start..self.range.start + part.end,
            false => self.range.clone(),
        }
    }

    /// Its key, and its value if it has one.
    pub fn pair(&self) -> (&str, Option<&str>) {
        self.text.split_once('=').map_or((self.text.as_str(), None), |(key, value)| (key, Some(value)))
    }

    /// Where its key is in the record.
    pub fn key(&self) -> Range<usize> {
        self.part(0..self.pair().0.len())
    }

    /// Where its value is in the record; all of the field when there is none.
    pub fn value(&self) -> Range<usize> {
        match self.pair() {
            (key, Some(value)) if !value.is_empty() => self.part(key.len() + 1..self.text.len()),
            _ => self.range.clone(),
        }
    }
}

/// The fields of a record (RFC 4180: a field with commas or quotes stands in quotes, and doubles those within).
pub(super) fn fields(record: &str) -> Result<Vec<Field>, CsvError> {
    if record.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let start = record.len() - rest.len();
        let (text, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err(CsvError::BareQuote);
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(Field { text, range: start..record.len() - behind.len() });
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
            let found = fields(record).map(|fields| fields.into_iter().map(|field| field.text).collect());
            assert_eq!(found, expected, "{record}");
        }
    }

    #[test]
    fn fields_know_their_place() {
        let record = "type=cache,ro,\"target=/a,b\",id=";
        let places = |place: fn(&Field) -> Range<usize>| {
            fields(record).unwrap().iter().map(|field| &record[place(field)]).collect::<Vec<_>>()
        };
        assert_eq!(places(Field::key), ["type", "ro", "\"target=/a,b\"", "id"]);
        assert_eq!(places(Field::value), ["cache", "ro", "\"target=/a,b\"", "id="]);
    }
}
