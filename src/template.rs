//! `--format`: the part of docker's templates that names fields, `{{.Config.Env}}` and `{{json .Config}}`.

use serde_json::Value;

/// A template that asks for what isn't there.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No such member.
    #[error("--format: there is no field `{path}`; here are: {}", .fields.join(", "))]
    NoField {
        /// As given.
        path: String,
        /// What the object has.
        fields: Vec<String>,
    },
    /// More of the template language than this.
    #[error(
        "--format: `{{{{{0}}}}}` is not a field: only `{{{{.Field.Field}}}}` and `{{{{json .Field}}}}` are known; or use --format json"
    )]
    NotAField(String),
    /// A `{{` without its end.
    #[error("--format: `{{{{` without `}}}}`")]
    Open,
}

/// Fills in a template.
pub fn render(template: &str, value: &Value) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
        out += before;
        let field = field.trim();
        let (json, path) = match field.strip_prefix("json ") {
            Some(path) => (true, path.trim()),
            None => (false, field),
        };
        let found = look_up(value, path.strip_prefix('.').ok_or_else(|| TemplateError::NotAField(field.into()))?)?;
        out += &if json { found.to_string() } else { plain(found) };
        rest = after;
    }
    Ok(out + rest)
}

fn look_up<'v>(value: &'v Value, path: &str) -> Result<&'v Value, TemplateError> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| {
        let found = match value {
            Value::Object(object) => object.get(name),
            Value::Array(list) => name.parse::<usize>().ok().and_then(|n| list.get(n)),
            _ => None,
        };
        found.ok_or_else(|| TemplateError::NoField {
            path: path.into(),
            fields: value.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default(),
        })
    })
}

/// As Go's templates print: text without quotes, lists in brackets.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let value = serde_json::json!({"Os": "linux", "Config": {"Env": ["A=1", "B=2"], "n": 3}, "Labels": {"a": "b"}});
        for (template, want) in [
            ("{{.Os}}", "linux"),
            ("{{ .Config.Env }} x {{.Config.n}}", "[A=1 B=2] x 3"),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            ("{{.Config.Env.1}}", "B=2"),
            ("{{json .Labels}}", r#"{"a":"b"}"#),
            ("plain", "plain"),
            ("{{json .}}", &value.to_string()),
        ] {
            assert_eq!(render(template, &value).unwrap(), want, "{template}");
        }
        for (bad, word) in [
            ("{{.Nope}}", "Os, Config, Labels"),
            ("{{range .Os}}", "only"),
            ("{{.Os", "without"),
            ("{{.Os.x}}", "Os.x"),
        ] {
            assert!(render(bad, &value).unwrap_err().to_string().contains(word), "{bad}");
        }
    }
}
