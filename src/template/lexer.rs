//! Divides a template into text and actions, and actions into words.

use serde_json::Value;

use super::{Fault, fault};

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// As it stands, trimmed where a marker says so.
    Text(String),
    /// What stood in `{{ }}`, and where.
    Action { at: usize, tokens: Vec<Token> },
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its byte in the template.
    pub at: usize,
    /// Whether a blank stands before it: `.a .b` are two words, `.a.b` is one.
    pub spaced: bool,
    /// What it is.
    pub kind: TokenKind,
}

/// Kinds of words.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind {
    /// `range`, `len`.
    Name(String),
    /// `.Env`, without the dot.
    Field(String),
    /// `.`
    Dot,
    /// `$x`, without the dollar.
    Variable(String),
    /// A text, number, `true`, `false` or `nil`.
    Literal(Value),
    /// `(`, `)`, `|`, `,`, `=`, or `:` for `:=`.
    Sign(char),
}

/// Divides it.
pub fn lex(template: &str) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let (mut at, mut trim) = (0, false);
    loop {
        let open = template[at..].find("{{").map(|n| at + n);
        let mut text = &template[at..open.unwrap_or(template.len())];
        if trim {
            text = text.trim_start_matches(BLANKS);
        }
        let Some(open) = open else {
            pieces.push(Piece::Text(text.into()));
            return Ok(pieces);
        };
        at = open + 2;
        if template[at..].starts_with('-') && template[at + 1..].starts_with(BLANKS) {
            text = text.trim_end_matches(BLANKS);
            at += 1;
        }
        pieces.push(Piece::Text(text.into()));
        let mut lexer = Lexer { template, at };
        let tokens = lexer.action(open)?;
        trim = lexer.trims();
        at = lexer.at;
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action { at: open, tokens });
        }
    }
}

/// What trim markers trim and what divides words.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'t> {
    template: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.template[self.at..]
    }

    /// Whether the action that was just read ended with ` -}}`.
    fn trims(&self) -> bool {
        let read = &self.template[..self.at];
        read.strip_suffix("-}}").is_some_and(|before| before.ends_with(BLANKS))
    }

    /// Takes what fits.
    fn take(&mut self, test: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !test(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// The words up to `}}`; none for a comment.
    fn action(&mut self, open: usize) -> Result<Option<Vec<Token>>, Fault> {
        let start = self.at;
        self.take(|c| BLANKS.contains(&c));
        if self.rest().starts_with("/*") {
            let Some(end) = self.rest().find("*/") else { return fault(start, "a comment without `*/`") };
            self.at += end + 2;
            let blanks = self.take(|c| BLANKS.contains(&c));
            let close = if blanks.is_empty() || !self.rest().starts_with('-') { "}}" } else { "-}}" };
            if !self.rest().starts_with(close) {
                return fault(self.at, "a comment stands alone in its `{{ }}`");
            }
            self.at += close.len();
            return Ok(None);
        }
        let mut tokens = Vec::new();
        loop {
            let spaced = !self.take(|c| BLANKS.contains(&c)).is_empty() || self.template[..self.at].ends_with(BLANKS);
            let at = self.at;
            for close in ["}}", "-}}"] {
                if self.rest().starts_with(close) && (spaced || close == "}}") {
                    self.at += close.len();
                    return Ok(Some(tokens));
                }
            }
            let Some(c) = self.rest().chars().next() else { return fault(open, "`{{` without its `}}`") };
            let kind = self.token(c)?;
            tokens.push(Token { at, spaced, kind });
        }
    }

    fn token(&mut self, c: char) -> Result<TokenKind, Fault> {
        let at = self.at;
        let is_name = |c: char| c == '_' || c.is_alphanumeric();
        let digit_follows = self.rest()[c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        match c {
            '"' => self.quoted().map(|text| TokenKind::Literal(text.into())),
            '\'' => self.character().map(|n| TokenKind::Literal(n.into())),
            '`' => match self.rest()[1..].find('`') {
                Some(end) => {
                    let text = &self.rest()[1..=end];
                    self.at += end + 2;
                    Ok(TokenKind::Literal(text.into()))
                }
                None => fault(at, "a quoted text without its closing quote"),
            },
            '0'..='9' => self.number(),
            '-' | '+' | '.' if digit_follows => self.number(),
            '.' => {
                self.at += 1;
                let name = self.take(is_name);
                Ok(if name.is_empty() { TokenKind::Dot } else { TokenKind::Field(name.into()) })
            }
            '$' => {
                self.at += 1;
                Ok(TokenKind::Variable(self.take(is_name).into()))
            }
            ':' if self.rest().starts_with(":=") => {
                self.at += 2;
                Ok(TokenKind::Sign(':'))
            }
            '(' | ')' | '|' | ',' | '=' => {
                self.at += 1;
                Ok(TokenKind::Sign(c))
            }
            c if is_name(c) => Ok(match self.take(is_name) {
                "true" => TokenKind::Literal(true.into()),
                "false" => TokenKind::Literal(false.into()),
                "nil" => TokenKind::Literal(Value::Null),
                name => TokenKind::Name(name.into()),
            }),
            c => fault(at, format!("`{c}` has no meaning here")),
        }
    }

    /// Go's integers (decimal, `0x`, `0o`, `0b`, with `_`) and floating-point numbers.
    fn number(&mut self) -> Result<TokenKind, Fault> {
        let at = self.at;
        let sign = self.take(|c| matches!(c, '-' | '+'));
        let text = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')).replace('_', "");
        let radix = |prefix: &str, radix| text.strip_prefix(prefix).and_then(|t| i64::from_str_radix(t, radix).ok());
        let whole = text.parse().ok().or(radix("0x", 16)).or(radix("0o", 8)).or(radix("0b", 2));
        let negative = sign == "-";
        let number = match whole {
            Some(n) => Some(Value::from(if negative { -n } else { n })),
            None => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| if negative { -n } else { n }.into()),
        };
        match number {
            Some(number) if sign.len() < 2 => Ok(TokenKind::Literal(number)),
            _ => fault(at, format!("`{sign}{text}` is no number")),
        }
    }

    /// `"…"` with Go's escapes.
    fn quoted(&mut self) -> Result<String, Fault> {
        let at = self.at;
        let mut out = Vec::new();
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                None | Some('\n') => return fault(at, "a quoted text without its closing quote"),
                Some('"') => {
                    self.at += 1;
                    return String::from_utf8(out).or_else(|_| fault(at, "the text's escapes make no UTF-8"));
                }
                Some(_) => self.letter(at, &mut out)?,
            }
        }
    }

    /// `'a'`: the number of the character.
    fn character(&mut self) -> Result<u32, Fault> {
        let at = self.at;
        let mut out = Vec::new();
        self.at += 1;
        if !self.rest().is_empty() {
            self.letter(at, &mut out)?;
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        match text.chars().next() {
            Some(c) if self.rest().starts_with('\'') => {
                self.at += 1;
                Ok(c.into())
            }
            _ => fault(at, "expected one character between `'`"),
        }
    }

    /// One character of a quoted text, or one escape.
    fn letter(&mut self, start: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut chars = self.rest().chars();
        let Some(c) = chars.next() else { return fault(start, "a quoted text without its closing quote") };
        self.at += c.len_utf8();
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            return Ok(());
        }
        let Some(c) = chars.next() else { return fault(start, "a quoted text without its closing quote") };
        self.at += c.len_utf8();
        let simple = match c {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\\' | '"' | '\'' => c as u8,
            _ => 0,
        };
        if simple != 0 {
            out.push(simple);
            return Ok(());
        }
        let length = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c => return fault(start, format!("`\\{c}` is no escape")),
        };
        let code = self.rest().get(..length).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let bytes = code.and_then(|code| match c {
            'x' => u8::try_from(code).ok().map(|b| vec![b]),
            _ => char::from_u32(code).map(|c| c.to_string().into_bytes()),
        });
        match bytes {
            Some(bytes) => {
                self.at += length;
                out.extend(bytes);
                Ok(())
            }
            None => fault(start, format!("`\\{c}` needs {length} hexadecimal digits of a character")),
        }
    }
}
