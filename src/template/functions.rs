//! The functions that templates can call: Go's (text/template, "Functions") and docker's (docker/cli, `templates`).

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Blanks and zeros that a template may ask for at once.
const MAX_WIDTH: usize = 10_000;

/// Go's truth: what isn't zero or empty.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go prints with `%v`: text without quotes, lists in brackets, maps by key.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            // Sets are maps to empty structures in docker: `map[80/tcp:{}]`.
            let one = |value: &Value| {
                if value.as_object().is_some_and(|o| o.is_empty()) { "{}".into() } else { plain(value) }
            };
            let members: Vec<String> =
                members.into_iter().map(|(key, value)| format!("{key}:{}", one(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// Calls a function. The error is why it can't be.
pub fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = |n: usize| match &arguments[n] {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("{name} wants a text, and `{}` is none", plain(other))),
    };
    let number = |n: usize| whole(name, &arguments[n]);
    let count = |wanted: &[usize], form: &str| match wanted.contains(&arguments.len()) {
        true => Ok(()),
        false => Err(format!("{name} is called as `{name} {form}`")),
    };
    let some = |form: &str| if arguments.is_empty() { count(&[1], form) } else { Ok(()) };
    Ok(match name {
        "json" => {
            count(&[1], "VALUE")?;
            arguments[0].to_string().into()
        }
        "split" => {
            count(&[2], "TEXT SEPARATOR")?;
            let (text, separator) = (text(0)?, text(1)?);
            match separator {
                "" => text.chars().map(|c| c.to_string()).collect(),
                _ => text.split(separator).collect(),
            }
        }
        "join" => {
            count(&[2], "LIST SEPARATOR")?;
            let Value::Array(list) = &arguments[0] else {
                return Err(format!("join wants a list, and `{}` is none", plain(&arguments[0])));
            };
            list.iter().map(plain).collect::<Vec<_>>().join(text(1)?).into()
        }
        "lower" => {
            count(&[1], "TEXT")?;
            text(0)?.to_lowercase().into()
        }
        "upper" => {
            count(&[1], "TEXT")?;
            text(0)?.to_uppercase().into()
        }
        "title" => {
            count(&[1], "TEXT")?;
            title(text(0)?).into()
        }
        "pad" => {
            count(&[3], "TEXT BEFORE AFTER")?;
            let width = |n| number(n).map(|n| usize::try_from(n).unwrap_or(0)).and_then(bounded);
            format!("{}{}{}", " ".repeat(width(1)?), text(0)?, " ".repeat(width(2)?)).into()
        }
        "truncate" => {
            count(&[2], "TEXT LENGTH")?;
            text(0)?.chars().take(usize::try_from(number(1)?).unwrap_or(0)).collect::<String>().into()
        }
        "len" => {
            count(&[1], "VALUE")?;
            match &arguments[0] {
                Value::String(text) => text.len().into(),
                Value::Array(list) => list.len().into(),
                Value::Object(map) => map.len().into(),
                other => return Err(format!("len: `{}` has no length", plain(other))),
            }
        }
        "index" => {
            some("VALUE KEY…")?;
            arguments[1..].iter().try_fold(arguments[0].clone(), |value, key| index(&value, key))?
        }
        "slice" => {
            count(&[1, 2, 3], "VALUE FROM TO")?;
            let length = match &arguments[0] {
                Value::String(text) => text.len(),
                Value::Array(list) => list.len(),
                other => return Err(format!("slice: `{}` is no text and no list", plain(other))),
            };
            let bound =
                |n: usize, default| if n < arguments.len() { number(n).map(usize::try_from) } else { Ok(Ok(default)) };
            let range = match (bound(1, 0)?, bound(2, length)?) {
                (Ok(from), Ok(to)) if from <= to && to <= length => from..to,
                _ => return Err(format!("slice: out of range, it is {length} long")),
            };
            match &arguments[0] {
                Value::Array(list) => list[range].to_vec().into(),
                text => text.as_str().and_then(|t| t.get(range)).ok_or("slice: that is inside a character")?.into(),
            }
        }
        "not" => {
            count(&[1], "VALUE")?;
            (!is_true(&arguments[0])).into()
        }
        // What decides alone was decided before the call.
        "and" | "or" => {
            some("VALUE…")?;
            arguments.last().cloned().unwrap_or_default()
        }
        "print" => print(arguments).into(),
        "println" => (arguments.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => {
            some("FORMAT VALUE…")?;
            printf(text(0)?, &arguments[1..])?.into()
        }
        "html" => escaped(&print(arguments)).into(),
        "urlquery" => url_query(&print(arguments)).into(),
        "eq" => {
            if arguments.len() < 2 {
                count(&[2], "VALUE VALUE…")?;
            }
            let mut same = false;
            for other in &arguments[1..] {
                same |= equal(&arguments[0], other)?;
            }
            same.into()
        }
        "ne" => {
            count(&[2], "VALUE VALUE")?;
            (!equal(&arguments[0], &arguments[1])?).into()
        }
        "lt" | "le" | "gt" | "ge" => {
            count(&[2], "VALUE VALUE")?;
            let order = order(&arguments[0], &arguments[1])?;
            match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
            .into()
        }
        _ => return Err(format!("there is no function `{name}`; here are: {KNOWN}")),
    })
}

const KNOWN: &str = "json, join, split, lower, upper, title, pad, truncate, len, index, slice, print, println, printf, \
                     html, urlquery, eq, ne, lt, le, gt, ge, and, or, not";

fn whole(name: &str, value: &Value) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("{name} wants a whole number, and `{}` is none", plain(value)))
}

fn bounded(width: usize) -> Result<usize, String> {
    if width <= MAX_WIDTH { Ok(width) } else { Err(format!("a width of more than {MAX_WIDTH}")) }
}

/// A member of a list or map. A key that isn't there gives what is empty among the map's values.
fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match value {
        Value::Array(list) => {
            let n = whole("index", key)?;
            let found = usize::try_from(n).ok().and_then(|n| list.get(n));
            found.cloned().ok_or_else(|| format!("index {n} is out of range: the list has {} members", list.len()))
        }
        Value::Object(map) => {
            let name =
                key.as_str().ok_or_else(|| format!("index: a map has texts as keys, and `{}` is none", plain(key)))?;
            let texts = map.values().all(Value::is_string);
            Ok(map.get(name).cloned().unwrap_or(if texts { "".into() } else { Value::Null }))
        }
        Value::String(text) => {
            let n = whole("index", key)?;
            let byte = usize::try_from(n).ok().and_then(|n| text.as_bytes().get(n));
            byte.map(|b| (*b).into())
                .ok_or_else(|| format!("index {n} is out of range: the text has {} bytes", text.len()))
        }
        other => Err(format!("index: `{}` is no list and no map", plain(other))),
    }
}

/// Upper case for the first letter of each word.
fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in text.chars() {
        match start {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
        start = !(c.is_alphanumeric() || matches!(c, '_' | '\''));
    }
    out
}

/// Blanks only between two values that are no texts.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (n, value) in values.iter().enumerate() {
        if n > 0 && !value.is_string() && !values[n - 1].is_string() {
            out.push(' ');
        }
        out += &plain(value);
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&#34;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(b.into()),
            b => out += &format!("%{b:02X}"),
        }
    }
    out
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) | (Value::Bool(_), Value::Bool(_)) => Ok(a == b),
        _ => order(a, b).map(Ordering::is_eq),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(compare(a, b)),
        _ => Err(format!("`{}` and `{}` can't be compared: compare two texts or two numbers", plain(a), plain(b))),
    }
}

fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

/// A verb of `printf`: `%-6.3s`.
#[derive(Default)]
struct Verb {
    left: bool,
    zeros: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's Printf for the verbs `v s d q x X t f g c T %`, and its words about those that don't fit.
fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let (verb, letter, after) = verb(after)?;
        rest = after;
        let Some(letter) = letter else {
            out += "%!(NOVERB)";
            break;
        };
        out += &match (letter, values.as_slice().first()) {
            ('%', _) => "%".into(),
            (_, None) => format!("%!{letter}(MISSING)"),
            (_, Some(value)) => {
                values.next();
                let shown = verb.shown(letter, value);
                verb.fitted(shown.unwrap_or_else(|| format!("%!{letter}({}={})", kind(value), plain(value))))
            }
        };
    }
    out += rest;
    let extra: Vec<String> = values.map(|value| format!("{}={}", kind(value), plain(value))).collect();
    if !extra.is_empty() {
        out += &format!("%!(EXTRA {})", extra.join(", "));
    }
    Ok(out)
}

/// Reads flags, width, precision and the letter.
fn verb(text: &str) -> Result<(Verb, Option<char>, &str), String> {
    let mut verb = Verb::default();
    let flags = text.len() - text.trim_start_matches(['-', '+', '0', ' ', '#']).len();
    let (flags, rest) = text.split_at(flags);
    (verb.left, verb.zeros, verb.plus) = (flags.contains('-'), flags.contains('0'), flags.contains('+'));
    let digits = |text: &str| -> Result<(Option<usize>, usize), String> {
        let length = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let value = if length == 0 { None } else { Some(bounded(text[..length].parse().unwrap_or(usize::MAX))?) };
        Ok((value, length))
    };
    let (width, length) = digits(rest)?;
    let mut rest = &rest[length..];
    verb.width = width.unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, length) = digits(after)?;
        verb.precision = Some(precision.unwrap_or(0));
        rest = &after[length..];
    }
    let letter = rest.chars().next();
    Ok((verb, letter, &rest[letter.map_or(0, char::len_utf8)..]))
}

impl Verb {
    /// The value as the letter wants it, if they go together.
    fn shown(&self, letter: char, value: &Value) -> Option<String> {
        let cut = |text: &str| match self.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.to_string(),
        };
        let signed = |text: String| if self.plus && !text.starts_with('-') { format!("+{text}") } else { text };
        let hex = |bytes: &str, upper: bool| -> String {
            bytes.bytes().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
        };
        match (letter, value) {
            ('T', value) => Some(kind(value).into()),
            ('v' | 's', Value::String(text)) => Some(cut(text)),
            ('q', Value::String(text)) => Some(format!("{text:?}")),
            ('x' | 'X', Value::String(text)) => Some(hex(text, letter == 'X')),
            ('v', Value::Number(n)) => Some(signed(n.to_string())),
            ('v', value) => Some(plain(value)),
            ('t', Value::Bool(b)) => Some(b.to_string()),
            ('d', Value::Number(n)) if !n.is_f64() => Some(signed(n.to_string())),
            ('x', Value::Number(n)) => {
                n.as_i64().map(|n| format!("{}{:x}", if n < 0 { "-" } else { "" }, n.unsigned_abs()))
            }
            ('X', Value::Number(n)) => {
                n.as_i64().map(|n| format!("{}{:X}", if n < 0 { "-" } else { "" }, n.unsigned_abs()))
            }
            ('c', Value::Number(n)) => n.as_u64().and_then(|n| char::from_u32(n.try_into().ok()?)).map(String::from),
            ('f', Value::Number(n)) if n.is_f64() => {
                n.as_f64().map(|n| signed(format!("{n:.*}", self.precision.unwrap_or(6))))
            }
            ('g', Value::Number(n)) if n.is_f64() => Some(signed(n.to_string())),
            // The verb goes to each member.
            (_, Value::Array(list)) => {
                let members: Option<Vec<String>> = list.iter().map(|item| self.shown(letter, item)).collect();
                members.map(|members| format!("[{}]", members.join(" ")))
            }
            _ => None,
        }
    }

    fn fitted(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match text.strip_prefix('-') {
            _ if self.left => text + &" ".repeat(missing),
            Some(digits) if self.zeros => format!("-{}{digits}", "0".repeat(missing)),
            None if self.zeros => "0".repeat(missing) + &text,
            _ => " ".repeat(missing) + &text,
        }
    }
}

/// What Go calls the value's type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]string",
        Value::Object(_) => "map[string]interface {}",
    }
}
