//! Does what a template says.

use serde_json::Value;

use super::{
    Fault, fault,
    functions::{call, is_true, plain},
    parser::{Base, Branch, Command, Node, Operand, Pipe},
};

/// Fills in the nodes with `.` and `$` as the value.
pub fn run(nodes: &[Node], value: &Value) -> Result<String, Fault> {
    let mut run = Run { variables: vec![(String::new(), value.clone())], out: String::new() };
    run.nodes(nodes, value)?;
    Ok(run.out)
}

struct Run {
    /// Innermost last; `$` is the one without a name.
    variables: Vec<(String, Value)>,
    out: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Run {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Fault> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out += text;
                    Flow::On
                }
                Node::Print(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.out += &plain(&value);
                    }
                    Flow::On
                }
                Node::If(branch) => self.scope(|run| {
                    let taken = is_true(&run.pipe(&branch.pipe, dot)?);
                    run.nodes(if taken { &branch.body } else { &branch.otherwise }, dot)
                })?,
                Node::With(branch) => self.scope(|run| {
                    let value = run.pipe(&branch.pipe, dot)?;
                    match is_true(&value) {
                        true => run.nodes(&branch.body, &value),
                        false => run.nodes(&branch.otherwise, dot),
                    }
                })?,
                Node::Range(branch) => self.scope(|run| run.range(branch, dot))?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    /// Variables declared inside end with it.
    fn scope<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let height = self.variables.len();
        let result = inside(self);
        self.variables.truncate(height);
        result
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, Fault> {
        let Pipe { at, variables, .. } = &branch.pipe;
        let at = branch.pipe.commands.first().map_or(*at, |c| c.at);
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match self.commands(&branch.pipe, dot)? {
            Value::Array(list) => Box::new(list.into_iter().enumerate().map(|(n, item)| (n.into(), item))),
            Value::Object(map) => {
                let mut members: Vec<_> = map.into_iter().collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Box::new(members.into_iter().map(|(key, value)| (key.into(), value)))
            }
            Value::Null => Box::new(std::iter::empty()),
            Value::Number(n) if n.is_i64() => Box::new((0..n.as_i64().unwrap_or(0)).map(|n| (n.into(), n.into()))),
            other => return fault(at, format!("range can't go over `{}`: it is no list and no map", plain(&other))),
        };
        let mut any = false;
        for (key, item) in items {
            any = true;
            let flow = self.scope(|run| {
                let values = match &variables[..] {
                    [_, _] => vec![key, item.clone()],
                    _ => vec![item.clone()],
                };
                for (name, value) in variables.iter().zip(values) {
                    run.set(&branch.pipe, name, value)?;
                }
                run.nodes(&branch.body, &item)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        if any { Ok(Flow::On) } else { self.nodes(&branch.otherwise, dot) }
    }

    fn set(&mut self, pipe: &Pipe, name: &str, value: Value) -> Result<(), Fault> {
        if pipe.declares {
            self.variables.push((name.into(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return fault(pipe.at, format!("there is no variable ${name} yet: declare it with :=")),
        }
        Ok(())
    }

    /// The value of a pipeline, which its variable takes.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Fault> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(pipe, name, value.clone())?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Fault> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or_default())
    }

    /// `last` is what stood before the `|`: the function's last argument.
    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value, Fault> {
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Value::Null) };
        let Base::Function(name) = &first.base else {
            return match last {
                None => self.operand(first, dot),
                Some(_) => fault(first.at, "only a function can stand behind `|`"),
            };
        };
        let mut values = Vec::new();
        // `and` and `or` look no further than they must, as in `{{if and .A .A.B}}`.
        let enough = |value: &Value| match name.as_str() {
            "and" => !is_true(value),
            "or" => is_true(value),
            _ => false,
        };
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            if enough(&value) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        let result = call(name, &values).or_else(|why| fault(first.at, why))?;
        member(first, result)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Fault> {
        let found = match &operand.base {
            Base::Dot => return member(operand, dot),
            Base::Literal(value) => value.clone(),
            Base::Pipe(pipe) => self.scope(|run| run.pipe(pipe, dot))?,
            Base::Function(name) => call(name, &[]).or_else(|why| fault(operand.at, why))?,
            Base::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                match known {
                    Some((_, value)) => return member(operand, value),
                    None => return fault(operand.at, format!("there is no variable ${name}")),
                }
            }
        };
        member(operand, found)
    }
}

/// Follows the fields behind an operand.
fn member(operand: &Operand, value: impl std::borrow::Borrow<Value>) -> Result<Value, Fault> {
    let mut value = value.borrow();
    for name in &operand.fields {
        value = match value {
            // In docker's own structures it is `ID`, in its JSON `Id`; it takes both.
            Value::Object(map) => match map.get(name).or_else(|| map.get("Id").filter(|_| name == "ID")) {
                Some(found) => found,
                None => {
                    let known: Vec<&str> = map.keys().map(String::as_str).take(40).collect();
                    return fault(operand.at, format!("there is no field `.{name}`; here are: {}", known.join(", ")));
                }
            },
            Value::Null => return fault(operand.at, format!("there is no `.{name}` in what is nil")),
            _ => return fault(operand.at, format!("there is no `.{name}` in what is no object")),
        };
    }
    Ok(value.clone())
}
