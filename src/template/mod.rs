//! `--format`: Go's templates (package text/template) as `docker inspect` takes them, over JSON.
//!
//! Known are fields, variables, pipelines, `if`, `range`, `with`, `break`, `continue`, trim markers and comments, Go's
//! own functions for text, numbers and lists, and docker's (`json`, `join`, `split` …). Not known are named templates
//! (`define`, `template`, `block`): one `--format` has no use for them.

mod eval;
mod functions;
mod lexer;
mod parser;

use serde_json::Value;

/// A template that can't be read, or asks for what isn't there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--format, {}column {column}: {why}", in_line(*.line))]
pub struct TemplateError {
    /// Line of the template, from 1.
    line: usize,
    /// Character in it, from 1.
    column: usize,
    why: String,
}

/// Templates of one line are the rule.
fn in_line(line: usize) -> String {
    if line == 1 { String::new() } else { format!("line {line}, ") }
}

/// What is wrong, at a byte of the template.
#[derive(Debug)]
struct Fault {
    at: usize,
    why: String,
}

fn fault<T>(at: usize, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, why: why.into() })
}

/// Fills in a template. Objects are Go's maps, `null` is its nil.
pub fn render(template: &str, value: &Value) -> Result<String, TemplateError> {
    let filled = parser::parse(template).and_then(|nodes| eval::run(&nodes, value));
    filled.map_err(|Fault { at, why }| {
        let before = &template[..at.min(template.len())];
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        TemplateError { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1, why }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value() -> Value {
        json!({
            "Id": "sha256:1", "Os": "linux", "Size": 42, "RepoTags": ["a:1", "b:2"], "Missing": null, "Empty": [],
            "Config": {
                "Env": ["A=1", "B=2"], "Labels": {"a.b": "c", "x": "y"}, "ExposedPorts": {"80/tcp": {}},
                "Cmd": ["sh", "-c", "a \"b\""], "User": ""
            },
        })
    }

    #[test]
    fn what_docker_prints() {
        for (template, want) in [
            ("plain", "plain"),
            ("{{.Os}} {{ .Size }}", "linux 42"),
            ("{{.Config.Env}}", "[A=1 B=2]"),
            ("{{.ID}}", "sha256:1"),
            ("{{.Config.Labels}}", "map[a.b:c x:y]"),
            ("{{.Config.ExposedPorts}}", "map[80/tcp:{}]"),
            ("{{json .Config.Cmd}}", r#"["sh","-c","a \"b\""]"#),
            ("{{.Config.Env | json}}", r#"["A=1","B=2"]"#),
            ("{{.Missing}}{{.Empty}}", "<nil>[]"),
            ("{{range .Config.Env}}{{.}};{{end}}", "A=1;B=2;"),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
            ("{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}", "A=1,B=2"),
            ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a.b=c x=y "),
            ("{{range $p, $_ := .Config.ExposedPorts}}{{$p}}{{end}}", "80/tcp"),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            ("{{range 3}}{{.}}{{end}}", "012"),
            ("{{range .RepoTags}}{{if eq . \"b:2\"}}{{continue}}{{end}}{{.}}{{end}}", "a:1"),
            ("{{range .RepoTags}}{{.}}{{break}}{{end}}", "a:1"),
            ("{{index .RepoTags 0}}", "a:1"),
            ("{{index .Config.Labels \"a.b\"}}", "c"),
            ("{{index .Config.Labels \"none\"}}", ""),
            ("{{index .Config \"Env\" 1}}", "B=2"),
            ("{{(index .RepoTags 0) | upper}}", "A:1"),
            ("{{(index (split (index .RepoTags 1) \":\") 1)}}", "2"),
            ("{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}", "root"),
            ("{{if .Empty}}a{{else if eq .Os \"linux\" \"bsd\"}}b{{else}}c{{end}}", "b"),
            ("{{if and .Missing .Missing.X}}a{{else}}b{{end}}", "b"),
            ("{{if not .Missing}}none{{end}}", "none"),
            ("{{with .Config}}{{.User}}{{len .Env}} {{$.Os}}{{end}}", "2 linux"),
            ("{{with .Missing}}a{{else with .Os}}{{.}}{{end}}", "linux"),
            ("{{len .Config.Env}} {{len .Os}}", "2 5"),
            ("{{join .RepoTags \", \"}}", "a:1, b:2"),
            ("{{split \"a,b\" \",\"}}", "[a b]"),
            ("{{upper .Os}} {{title .Os}} {{lower \"ABC\"}}", "LINUX Linux abc"),
            (
                "{{printf \"%s|%-6s|%6s|%d|%04d|%q|%v|%%\" .Os \"a\" \"b\" 7 42 .Os .RepoTags}}",
                "linux|a     |     b|7|0042|\"linux\"|[a:1 b:2]|%",
            ),
            ("{{printf \"%.3s %x %X %t %5.1f\" .Os 255 \"hi\" true 2.25}}", "lin ff 6869 true   2.2"),
            ("{{printf \"%d %s\" .Os 3}}", "%!d(string=linux) %!s(int=3)"),
            ("{{printf \"%s\"}} {{printf \"x\" 1}}", "%!s(MISSING) x%!(EXTRA int=1)"),
            ("{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"),
            ("{{pad .Os 1 2}}|{{truncate .Os 3}}|{{slice .Os 1 3}}|{{slice .RepoTags 1}}", " linux  |lin|in|[b:2]"),
            ("{{gt .Size 41}} {{le 1 1}} {{ne .Os \"x\"}} {{lt \"a\" \"b\"}}", "true true true true"),
            ("{{$x := .Os}}{{$x}}{{$x = \"b\"}}{{$x}}", "linuxb"),
            ("{{$n := 0}}{{range .RepoTags}}{{$n = len .}}{{end}}{{$n}}", "3"),
            ("{{or .Config.User \"root\"}} {{and 1 2}}", "root 2"),
            ("a \n{{- .Os -}}\n b", "alinuxb"),
            ("a {{- /* no */ -}} b{{/* }} */}}", "ab"),
            ("{{\"}}\"}}{{`raw\\n`}}{{\"\\t\\u00e9\\x41\"}}", "}}raw\\n\té\u{41}"),
            ("{{'a'}} {{0x10}} {{-3}}", "97 16 -3"),
            ("{{html \"<a>\"}} {{urlquery \"a b&\"}}", "&lt;a&gt; a+b%26"),
        ] {
            assert_eq!(render(template, &value()).unwrap_or_else(|e| panic!("{template}: {e}")), want, "{template}");
        }
        assert_eq!(render("{{json .}}", &value()).unwrap(), value().to_string());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (bad, column, word) in [
            ("{{.Nope}}", 3, "Id, Os"),
            ("é {{.Os.x}}", 5, "`.x`"),
            ("{{.Os", 1, "}}"),
            ("{{.Missing.A}}", 3, "nil"),
            ("{{nope .Os}}", 3, "`nope`"),
            ("{{range .Os}}{{end}}", 9, "range"),
            ("{{range .RepoTags}}", 1, "{{end}}"),
            ("a{{end}}", 4, "end"),
            ("{{else}}", 3, "else"),
            ("{{if}}a{{end}}", 5, "value"),
            ("{{index .RepoTags 5}}", 3, "out of range"),
            ("{{index .RepoTags \"a\"}}", 3, "number"),
            ("{{index .Missing 1}}", 3, "no list"),
            ("{{\"abc}}", 3, "quote"),
            ("{{\"\\q\"}}", 3, "\\q"),
            ("{{.Os \"a\"}}", 3, "function"),
            ("{{$x}}", 3, "$x"),
            ("{{break}}", 3, "range"),
            ("{{define \"x\"}}{{end}}", 3, "define"),
            ("{{(.Os}}", 3, ")"),
            ("{{.Os | }}", 7, "value"),
            ("{{len .Size}}", 3, "len"),
            ("{{eq .Os 1}}", 3, "compare"),
            ("{{}}", 3, "value"),
            ("{{.Os ~}}", 7, "~"),
            ("{{/* a }}", 3, "*/"),
            ("{{join .Os}}", 3, "join"),
        ] {
            let e = render(bad, &value()).expect_err(bad);
            assert!(e.to_string().contains(word) && e.column == column && e.line == 1, "{bad}: {e}");
        }
        assert!(render("\n\n {{.X}}", &value()).unwrap_err().to_string().starts_with("--format, line 3, column 4: "));
        assert!(render(&"{{(".repeat(50_000), &value()).is_err(), "no depth ends the program");
        assert!(render(&"{{if 1}}".repeat(50_000), &value()).is_err());
        assert!(render(&format!("{{{{{}", "(".repeat(50_000)), &value()).is_err());
        assert!(render("{{printf \"%999999999d\" 1}}", &value()).is_err());
        assert!(render("{{pad \"a\" 999999999 0}}", &value()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_filled_in_or_refused(text in r#"([{}\-. $a-cOs"`()|:=,0-9%]|range |if |end|\{\{|\}\}|else|len |printf )*"#) {
            let _ = render(&text, &value());
        }
    }
}
