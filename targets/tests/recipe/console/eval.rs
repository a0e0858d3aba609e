//! Runs statements.

use std::{collections::HashMap, rc::Rc};

use super::{
    Failure, Parser, Router, Value,
    syntax::{Expr, Statement},
};

#[derive(Clone)]
enum Slot {
    Local(Value),
    Global,
}

type Scope = HashMap<String, Slot>;

pub struct Machine<'a> {
    router: &'a mut Router,
    scopes: Vec<Scope>,
    returned: Option<Value>,
}

type Result<T> = std::result::Result<T, Failure>;

fn bug<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::Bug(what.into()))
}

impl<'a> Machine<'a> {
    pub fn new(router: &'a mut Router) -> Self {
        Self { router, scopes: vec![Scope::new()], returned: None }
    }

    /// A statement of the file: globals that it declares are forgotten with it.
    pub fn top(&mut self, statements: &Rc<Vec<Statement>>) -> Result<()> {
        for statement in statements.iter() {
            // `:set` on its own line finds what the file declared before.
            if statement.word == ":set"
                && let Some(Expr::Constant(name)) = statement.values.first()
            {
                self.scopes[0].insert(name.string(), Slot::Global);
            }
            self.statement(statement)?;
        }
        Ok(())
    }

    fn block(&mut self, statements: &Rc<Vec<Statement>>) -> Result<Value> {
        self.scopes.push(Scope::new());
        let mut last = Ok(Value::Nothing);
        for statement in statements.iter() {
            last = self.statement(statement);
            if last.is_err() || self.returned.is_some() {
                break;
            }
        }
        self.scopes.pop();
        last
    }

    fn call(&mut self, function: &Rc<Vec<Statement>>, arguments: Vec<(String, Value)>) -> Result<Value> {
        let scope = arguments.into_iter().map(|(name, value)| (name, Slot::Local(value))).collect();
        let outer = std::mem::replace(&mut self.scopes, vec![scope]);
        let result = self.block(function);
        self.scopes = outer;
        let returned = self.returned.take();
        result.map(|_| returned.unwrap_or(Value::Nothing))
    }

    fn get(&self, name: &str) -> Result<Value> {
        match self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            Some(Slot::Local(value)) => Ok(value.clone()),
            Some(Slot::Global) => Ok(self.router.globals.get(name).cloned().unwrap_or(Value::Nothing)),
            None => bug(format!("${name} is not declared here")),
        }
    }

    fn set(&mut self, name: &str, value: Value) -> Result<()> {
        match self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name)) {
            Some(Slot::Local(old)) => *old = value,
            Some(Slot::Global) if value == Value::Nothing => {
                self.router.globals.remove(name);
            }
            Some(Slot::Global) => {
                self.router.globals.insert(name.into(), value);
            }
            None => return bug(format!(":set {name}: not declared here")),
        }
        Ok(())
    }

    fn truth(&mut self, expr: &Expr) -> Result<bool> {
        match self.expr(expr)? {
            Value::Bool(b) => Ok(b),
            other => bug(format!("a condition is {other:?}")),
        }
    }

    fn code(&self, expr: Option<&Expr>) -> Result<Rc<Vec<Statement>>> {
        match expr {
            Some(Expr::Block(block)) => Ok(block.clone()),
            _ => bug("a block is missing"),
        }
    }

    fn statement(&mut self, s: &Statement) -> Result<Value> {
        if s.word.starts_with('/') {
            let values = s.values.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
            let mut named = Vec::new();
            for (key, value) in &s.named {
                named.push((key.clone(), self.expr(value)?));
            }
            let filter = match &s.filter {
                Some(filter) => Some(self.filter(filter)?),
                None => None,
            };
            return self.router.command(&s.word, &values, named, filter.as_ref());
        }
        if let Some(name) = s.word.strip_prefix('$') {
            let Value::Function(function) = self.get(name)? else { return bug(format!("${name} is no function")) };
            let mut arguments = Vec::new();
            for (key, value) in &s.named {
                arguments.push((key.clone(), self.expr(value)?));
            }
            return self.call(&function, arguments);
        }
        let name = || match s.values.first() {
            Some(Expr::Constant(name)) => name.string(),
            _ => String::new(),
        };
        match &s.word[..] {
            "{" => self.block(&self.code(s.values.first())?),
            ":if" => {
                let Some(test) = s.values.first() else { return bug(":if without a condition") };
                if self.truth(test)? {
                    self.block(&self.code(s.named("do"))?)
                } else if s.named("else").is_some() {
                    self.block(&self.code(s.named("else"))?)
                } else {
                    Ok(Value::Nothing)
                }
            }
            ":while" => {
                let code = self.code(s.named("do"))?;
                let Some(test) = s.values.first() else { return bug(":while without a condition") };
                for _ in 0..100_000 {
                    if !self.truth(test)? || self.returned.is_some() {
                        return Ok(Value::Nothing);
                    }
                    self.block(&code)?;
                }
                bug("an endless loop")
            }
            ":foreach" | ":for" => {
                let items = match s.named("in") {
                    Some(list) => self.expr(list)?.items(),
                    None => {
                        let mut ends = Vec::new();
                        for end in ["from", "to"] {
                            let Some(end) = s.named(end) else { return bug(":for without its ends") };
                            ends.push(self.expr(end)?.number().ok_or(Failure::Bug("an end of :for".into()))?);
                        }
                        (ends[0]..=ends[1]).map(Value::Number).collect()
                    }
                };
                let code = self.code(s.named("do"))?;
                for item in items {
                    self.scopes.push(Scope::from([(name(), Slot::Local(item))]));
                    let result = self.block(&code);
                    self.scopes.pop();
                    result?;
                }
                Ok(Value::Nothing)
            }
            ":do" => match self.block(&self.code(s.values.first())?) {
                Err(Failure::Run(_)) if s.named("on-error").is_some() => {
                    let code = self.code(s.named("on-error"))?;
                    self.block(&code)
                }
                other => other,
            },
            ":local" | ":global" | ":set" => {
                let value = match (s.named("do"), s.values.get(1)) {
                    (Some(Expr::Block(code)), None) if s.word != ":set" => Some(Value::Function(code.clone())),
                    (None, Some(value)) => Some(self.expr(value)?),
                    (None, None) => None,
                    _ => return bug(format!("{} with a strange value", s.word)),
                };
                if s.word != ":set" {
                    let slot = if s.word == ":local" { Slot::Local(Value::Nothing) } else { Slot::Global };
                    self.scopes.last_mut().expect("a scope").insert(name(), slot);
                }
                if s.word == ":set" || value.is_some() {
                    self.set(&name(), value.unwrap_or(Value::Nothing))?;
                }
                Ok(Value::Nothing)
            }
            _ => {
                let values = s.values.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
                self.builtin(&s.word[1..], &values)
            }
        }
    }

    fn builtin(&mut self, word: &str, values: &[Value]) -> Result<Value> {
        let text = |i: usize| values.get(i).map(Value::bytes).unwrap_or_default();
        Ok(match (word, values) {
            ("put", [value]) => {
                self.router.screen.push_str(&(value.string() + "\n"));
                Value::Nothing
            }
            ("error", [value]) => return Err(Failure::Run(value.string())),
            ("delay", [value]) => {
                let seconds = value.string().trim_end_matches('s').parse().or(bug("a delay"))?;
                self.router.wait(seconds);
                Value::Nothing
            }
            ("return", [value]) => {
                self.returned = Some(value.clone());
                value.clone()
            }
            ("len", [Value::Array(items)]) => Value::Number(items.len() as i64),
            ("len", [_]) => Value::Number(text(0).len() as i64),
            ("typeof", [value]) => Value::text(value.kind()),
            ("tostr", [_]) => Value::Text(text(0)),
            ("tonum", [value]) => value.number().map_or(Value::Nothing, Value::Number),
            ("toip", [Value::Ip(ip)]) => Value::Ip(*ip),
            ("find", [_, _]) => {
                let (hay, needle) = (text(0), text(1));
                let at = (0..=hay.len().saturating_sub(needle.len())).find(|i| hay[*i..].starts_with(&needle));
                at.filter(|_| !needle.is_empty()).map_or(Value::Nothing, |i| Value::Number(i as i64))
            }
            ("pick", [_, Value::Number(from), Value::Number(to)]) => {
                Value::Text(text(0).get(*from as usize..*to as usize).unwrap_or_default().to_vec())
            }
            ("parse", [Value::Text(code)]) => {
                let mut parser = Parser::new(code, self.router.syntax());
                let mut statements = Vec::new();
                // An error of parsing is one of running here, where text becomes code.
                while let Some(statement) = parser.statement().map_err(|e| match e {
                    Failure::Parse(what) => Failure::Run(what),
                    other => other,
                })? {
                    statements.push(statement);
                }
                Value::Function(Rc::new(statements))
            }
            _ => return bug(format!(":{word} of {values:?}")),
        })
    }

    /// With all of its values known.
    fn filter(&mut self, filter: &super::syntax::Where) -> Result<super::syntax::Where> {
        use super::syntax::Where;
        Ok(match filter {
            Where::Test(key, equal, value) => Where::Test(key.clone(), *equal, Expr::Constant(self.expr(value)?)),
            Where::All(tests) => Where::All(tests.iter().map(|t| self.filter(t)).collect::<Result<_>>()?),
            Where::Any(tests) => Where::Any(tests.iter().map(|t| self.filter(t)).collect::<Result<_>>()?),
        })
    }

    fn expr(&mut self, expr: &Expr) -> Result<Value> {
        Ok(match expr {
            Expr::Constant(value) => value.clone(),
            Expr::Variable(name) => self.get(name)?,
            Expr::Result(statements) => match &statements[..] {
                [one] => self.statement(one)?,
                _ => return bug("[ ] with not one command"),
            },
            Expr::Not(inner) => Value::Bool(!self.truth(inner)?),
            Expr::Array(items) => {
                Value::Array(items.iter().map(|e| Ok((None, self.expr(e)?))).collect::<Result<Vec<_>>>()?)
            }
            Expr::Block(code) => Value::Function(code.clone()),
            Expr::Binary(op, left, right) => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                binary(op, left, right)?
            }
        })
    }
}

fn binary(op: &str, left: Value, right: Value) -> Result<Value> {
    use Value::{Array, Bool, Ip, Number};
    Ok(match (op, &left, &right) {
        (".", ..) => Value::Text([left.bytes(), right.bytes()].concat()),
        ("=", ..) => Bool(left.bytes() == right.bytes()),
        ("!=", ..) => Bool(left.bytes() != right.bytes()),
        ("and", Bool(a), Bool(b)) => Bool(*a && *b),
        ("or", Bool(a), Bool(b)) => Bool(*a || *b),
        ("<", Number(a), Number(b)) => Bool(a < b),
        (">", Number(a), Number(b)) => Bool(a > b),
        ("<=", Number(a), Number(b)) => Bool(a <= b),
        (">=", Number(a), Number(b)) => Bool(a >= b),
        ("+", Number(a), Number(b)) => Number(a + b),
        ("-", Number(a), Number(b)) => Number(a - b),
        ("*", Number(a), Number(b)) => Number(a * b),
        ("+", Ip(a), Number(b)) => Ip(a.wrapping_add(*b as u32)),
        ("<<", Ip(a), Number(b)) => Ip(a.checked_shl(*b as u32).unwrap_or(0)),
        ("&", Ip(a), Ip(b)) => Ip(a & b),
        ("->", Array(items), Number(i)) => items.get(*i as usize).map_or(Value::Nothing, |(_, v)| v.clone()),
        ("->", Array(items), Value::Text(key)) => {
            items.iter().find(|(k, _)| k.as_ref() == Some(key)).map_or(Value::Nothing, |(_, v)| v.clone())
        }
        _ => return bug(format!("{left:?} {op} {right:?}")),
    })
}
