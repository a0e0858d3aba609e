//! Text to statements. Every command and argument is looked up in the command tree of the version.

use std::{net::Ipv4Addr, rc::Rc};

use super::{Failure, Tree, Value};

/// What a statement may name.
#[derive(Clone, Copy)]
pub struct Syntax {
    pub tree: &'static Tree,
    /// Whether the container package is there.
    pub container: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Constant(Value),
    Variable(String),
    /// `[…]`
    Result(Rc<Vec<Statement>>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Array(Vec<Expr>),
    Block(Rc<Vec<Statement>>),
}

/// A filter after `where`.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    Test(String, bool, Expr),
    All(Vec<Where>),
    Any(Vec<Where>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// `:if`, `/ip/address/add`, `$name`, `{`.
    pub word: String,
    pub values: Vec<Expr>,
    pub named: Vec<(String, Expr)>,
    pub filter: Option<Where>,
}

impl Statement {
    pub fn named(&self, name: &str) -> Option<&Expr> {
        self.named.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

const BUILTINS: &str =
    "if foreach for while do local global set put error delay return len typeof find pick tostr tonum toip parse";
/// Loosest first; a row binds alike.
const OPERATORS: &[&[&str]] =
    &[&["or"], &["and"], &["!=", ">=", "<=", "<<", "=", "<", ">"], &["."], &["+", "-"], &["*"], &["&"]];

pub struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    syntax: Syntax,
}

type Result<T> = std::result::Result<T, Failure>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a [u8], syntax: Syntax) -> Self {
        Self { text, at: 0, syntax }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn fail<T>(&self, what: &str) -> Result<T> {
        let line = self.text[..self.at].iter().filter(|b| **b == b'\n').count() + 1;
        let near = String::from_utf8_lossy(&self.text[self.at..(self.at + 40).min(self.text.len())]).into_owned();
        Err(Failure::Parse(format!("{what} (line {line}, at `{near}`)")))
    }

    fn spaces(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    fn gaps(&mut self) {
        loop {
            match self.peek() {
                b' ' | b'\n' | b';' => self.at += 1,
                b'#' => {
                    while self.at < self.text.len() && self.peek() != b'\n' {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != byte {
            return self.fail(&format!("expected {}", byte as char));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, extra: &[u8]) -> String {
        let start = self.at;
        while self.peek().is_ascii_alphanumeric() || extra.contains(&self.peek()) && self.peek() != 0 {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// The next one; `None` at the end of the text.
    pub fn statement(&mut self) -> Result<Option<Statement>> {
        self.gaps();
        match self.peek() {
            0 if self.at >= self.text.len() => Ok(None),
            b'{' => {
                let block = self.block()?;
                Ok(Some(Statement { word: "{".into(), values: vec![Expr::Block(block)], named: vec![], filter: None }))
            }
            b':' => {
                self.at += 1;
                let name = self.word(b"-");
                if !BUILTINS.split(' ').any(|b| b == name) {
                    return self.fail(&format!("bad command name {name}"));
                }
                self.arguments(format!(":{name}"), None).map(Some)
            }
            b'/' => {
                let path = self.word(b"/-");
                if path.starts_with("/container") && !self.syntax.container {
                    return self.fail("bad command name container");
                }
                match self.syntax.tree.get(&path) {
                    Some(known) => self.arguments(path, Some(known)).map(Some),
                    None => self.fail(&format!("bad command name {path}")),
                }
            }
            b'$' => {
                self.at += 1;
                let name = self.word(b"");
                self.arguments(format!("${name}"), None).map(Some)
            }
            _ => self.fail("expected a command"),
        }
    }

    /// `{ … }`
    fn block(&mut self) -> Result<Rc<Vec<Statement>>> {
        self.expect(b'{')?;
        self.until(b'}')
    }

    fn until(&mut self, end: u8) -> Result<Rc<Vec<Statement>>> {
        let mut statements = Vec::new();
        loop {
            self.gaps();
            if self.peek() == end {
                self.at += 1;
                return Ok(Rc::new(statements));
            }
            match self.statement()? {
                Some(statement) => statements.push(statement),
                None => return self.fail("the text ends inside of a block"),
            }
        }
    }

    fn arguments(&mut self, word: String, known: Option<&'static Vec<String>>) -> Result<Statement> {
        let mut statement = Statement { word, values: vec![], named: vec![], filter: None };
        let name = statement.word.clone();
        if matches!(&name[..], ":local" | ":global" | ":set" | ":foreach" | ":for") {
            self.spaces();
            let variable = self.word(b"");
            if variable.is_empty() {
                return self.fail("expected a variable");
            }
            statement.values.push(Expr::Constant(Value::text(variable)));
        }
        loop {
            self.spaces();
            if matches!(self.peek(), b'\n' | b';' | b']' | b'}' | 0) {
                return Ok(statement);
            }
            let start = self.at;
            let key = self.word(b"-");
            if !key.is_empty() && self.peek() == b'=' {
                self.at += 1;
                if known.is_some_and(|known| !known.contains(&key)) {
                    return self.fail(&format!("bad parameter {key}"));
                }
                let value = match &key[..] {
                    "do" | "else" | "on-error" => Expr::Block(self.block()?),
                    _ => self.value()?,
                };
                statement.named.push((key, value));
            } else if key == "where" && known.is_some_and(|known| known.contains(&key)) {
                statement.filter = Some(self.filter(&name)?);
            } else if !key.is_empty() && known.is_some_and(|known| known.contains(&key)) && name.ends_with("/print") {
                statement.values.push(Expr::Constant(Value::text(key)));
            } else {
                self.at = start;
                if name.ends_with("/print") || name.ends_with("/add") {
                    return self.fail("expected end of command");
                }
                let value = if name == ":do" { Expr::Block(self.block()?) } else { self.value()? };
                statement.values.push(value);
            }
        }
    }

    fn filter(&mut self, command: &str) -> Result<Where> {
        let (mut tests, mut any) = (Vec::new(), false);
        loop {
            self.spaces();
            match self.peek() {
                b'\n' | b';' | b']' | b'}' | b')' | 0 => break,
                b'(' => {
                    self.at += 1;
                    tests.push(self.filter(command)?);
                    self.expect(b')')?;
                }
                _ => {
                    let key = self.word(b"-.");
                    if key == "or" || key == "and" {
                        any |= key == "or";
                        continue;
                    }
                    let menu = command.rsplit_once('/').map_or("", |(menu, _)| menu);
                    let known =
                        |verb: &str| self.syntax.tree.get(&format!("{menu}/{verb}")).is_some_and(|a| a.contains(&key));
                    if !known("add") && !known("set") && !matches!(&key[..], "name" | "disabled") {
                        return self.fail(&format!("no property {key}"));
                    }
                    let equal = self.peek() != b'!';
                    self.at += usize::from(!equal);
                    self.expect(b'=')?;
                    tests.push(Where::Test(key, equal, self.value()?));
                }
            }
        }
        Ok(if any { Where::Any(tests) } else { Where::All(tests) })
    }

    fn value(&mut self) -> Result<Expr> {
        match self.peek() {
            b'"' => Ok(Expr::Constant(Value::Text(self.string()?))),
            b'$' => {
                self.at += 1;
                Ok(Expr::Variable(self.word(b"")))
            }
            b'(' => {
                self.at += 1;
                let expr = self.binary(0)?;
                self.spaces();
                self.expect(b')')?;
                Ok(expr)
            }
            b'[' => {
                self.at += 1;
                self.until(b']').map(Expr::Result)
            }
            b'{' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek() != b'}' {
                    items.push(self.value()?);
                    if self.peek() == b';' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Ok(Expr::Array(items))
            }
            _ => {
                let start = self.at;
                while !matches!(
                    self.peek(),
                    b' ' | b'\n' | b';' | b']' | b'}' | b')' | b'"' | b'$' | b'[' | b'{' | b'(' | 0
                ) {
                    self.at += 1;
                }
                match std::str::from_utf8(&self.text[start..self.at]) {
                    Ok("") | Err(_) => self.fail("expected a value"),
                    Ok(word) => Ok(Expr::Constant(constant(word))),
                }
            }
        }
    }

    fn string(&mut self) -> Result<Vec<u8>> {
        self.expect(b'"')?;
        let mut out = Vec::new();
        loop {
            let byte = self.peek();
            if self.at >= self.text.len() {
                return self.fail("a string has no end");
            }
            self.at += 1;
            match byte {
                b'"' => return Ok(out),
                b'$' => return Err(Failure::Bug("a string names a variable".into())),
                b'\\' => {
                    let escape = self.peek();
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'$' | b'?' => out.push(escape),
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'_' => out.push(b' '),
                        b'0'..=b'9' | b'A'..=b'F' => {
                            let pair = std::str::from_utf8(&self.text[self.at - 1..(self.at + 1).min(self.text.len())]);
                            match pair.ok().and_then(|p| u8::from_str_radix(p, 16).ok()) {
                                Some(value) => out.push(value),
                                None => return self.fail("bad escape"),
                            }
                            self.at += 1;
                        }
                        _ => return self.fail("bad escape"),
                    }
                }
                0..=0x1f | 0x7f.. | b'?' => return Err(Failure::Bug(format!("byte {byte:02x} stands in a string"))),
                _ => out.push(byte),
            }
        }
    }

    fn binary(&mut self, level: usize) -> Result<Expr> {
        let Some(row) = OPERATORS.get(level) else { return self.operand() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.spaces();
            let rest = &self.text[self.at..];
            let spaced = |op: &&&str| rest.starts_with(op.as_bytes()) && rest.get(op.len()) == Some(&b' ');
            let Some(op) = row.iter().find(spaced) else { return Ok(left) };
            self.at += op.len();
            let right = self.binary(level + 1)?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn operand(&mut self) -> Result<Expr> {
        self.spaces();
        if self.peek() == b'!' {
            self.at += 1;
            return Ok(Expr::Not(Box::new(self.operand()?)));
        }
        let mut value = self.value()?;
        while self.text[self.at..].starts_with(b"->") {
            self.at += 2;
            value = Expr::Binary("->", Box::new(value), Box::new(self.value()?));
        }
        Ok(value)
    }
}

fn constant(word: &str) -> Value {
    match (word, word.parse::<i64>(), word.parse::<Ipv4Addr>()) {
        ("true" | "yes", ..) => Value::Bool(true),
        ("false" | "no", ..) => Value::Bool(false),
        (_, Ok(number), _) => Value::Number(number),
        (_, _, Ok(ip)) => Value::Ip(ip.into()),
        _ => Value::text(word),
    }
}
