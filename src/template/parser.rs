//! From words to what there is to do.

use std::{collections::VecDeque, iter::Peekable, vec};

use serde_json::Value;

use super::{
    Fault, fault,
    lexer::{Piece, Token, TokenKind, lex},
};

/// Blocks and parentheses inside each other: far more than anybody writes, far less than fills the stack.
const MAX_DEPTH: usize = 100;

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    /// Prints its value, unless it declares or sets a variable.
    Print(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `{{if pipe}} body {{else}} otherwise {{end}}`
#[derive(Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// `$x := a | b`
#[derive(Debug)]
pub struct Pipe {
    pub at: usize,
    /// Variables that take the value.
    pub variables: Vec<String>,
    /// Whether they are new ones (`:=`).
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A value, or a function and its arguments.
#[derive(Debug)]
pub struct Command {
    pub at: usize,
    pub operands: Vec<Operand>,
}

/// A value and members of it: `.a.b`, `$x.a`, `(…).a`.
#[derive(Debug)]
pub struct Operand {
    pub at: usize,
    pub base: Base,
    pub fields: Vec<String>,
}

/// Where an operand's value comes from.
#[derive(Debug)]
pub enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Function(String),
    Pipe(Pipe),
}

/// Reads a template.
pub fn parse(template: &str) -> Result<Vec<Node>, Fault> {
    let mut parser = Parser { pieces: lex(template)?.into(), depth: 0, ranges: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        End::Template => Ok(nodes),
        End::Block(at) => fault(at, "`end` without `if`, `range` or `with`"),
        End::Else(at, _) => fault(at, "`else` without `if`, `range` or `with`"),
    }
}

struct Parser {
    pieces: VecDeque<Piece>,
    depth: usize,
    /// `range`s around the place.
    ranges: usize,
}

/// What ended a list of nodes; with the words behind `else`.
enum End {
    Template,
    Block(usize),
    Else(usize, Words),
}

type Words = Peekable<vec::IntoIter<Token>>;

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), Fault> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop_front() {
            let (open, tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { at, tokens } => (at, tokens),
            };
            let mut words = tokens.into_iter().peekable();
            let Some(first) = words.peek().cloned() else { return fault(open + 2, "there is no value in it") };
            let keyword = match &first.kind {
                TokenKind::Name(name) => name.as_str(),
                _ => "",
            };
            if is_keyword(keyword) {
                words.next();
            }
            match keyword {
                "end" => {
                    finished(&mut words)?;
                    return Ok((nodes, End::Block(first.at)));
                }
                "else" => return Ok((nodes, End::Else(first.at, words))),
                "if" | "with" | "range" => nodes.push(self.block(keyword, open, words)?),
                "break" | "continue" if self.ranges == 0 => {
                    return fault(first.at, format!("`{keyword}` outside of `range`"));
                }
                "break" | "continue" => {
                    finished(&mut words)?;
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "template" | "block" => {
                    return fault(first.at, format!("`{keyword}` is not known here: there are no named templates"));
                }
                _ => nodes.push(Node::Print(self.pipe(open + 2, &mut words, None)?)),
            }
        }
        Ok((nodes, End::Template))
    }

    fn block(&mut self, keyword: &str, open: usize, mut words: Words) -> Result<Node, Fault> {
        self.deeper(open)?;
        let at = open + 2 + keyword.len();
        let pipe = self.pipe(at, &mut words, Some(keyword))?;
        self.ranges += usize::from(keyword == "range");
        let (body, end) = self.nodes()?;
        self.ranges -= usize::from(keyword == "range");
        let unclosed = || fault(open, format!("`{keyword}` without its `{{{{end}}}}`"));
        let otherwise = match end {
            End::Template => return unclosed(),
            End::Block(_) => Vec::new(),
            End::Else(at, mut rest) => match rest.peek().cloned() {
                None => match self.nodes()? {
                    (nodes, End::Block(_)) => nodes,
                    (_, End::Else(at, _)) => return fault(at, "a second `else`"),
                    (_, End::Template) => return unclosed(),
                },
                // `else if` goes up to the same `end`.
                Some(Token { kind: TokenKind::Name(again), .. }) if again == keyword && keyword != "range" => {
                    rest.next();
                    vec![self.block(keyword, at - 2, rest)?]
                }
                Some(token) => {
                    return fault(token.at, format!("`{{{{else}}}}` or `{{{{else {keyword}}}}}` was expected"));
                }
            },
        };
        self.depth -= 1;
        let branch = Branch { pipe, body, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn deeper(&mut self, at: usize) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { fault(at, format!("more than {MAX_DEPTH} levels deep")) } else { Ok(()) }
    }

    /// A pipeline to the end of the action, or, without a keyword around it, to a closing parenthesis.
    fn pipe(&mut self, at: usize, words: &mut Words, keyword: Option<&str>) -> Result<Pipe, Fault> {
        let pipe = self.open_pipe(at, words, keyword == Some("range"))?;
        finished(words)?;
        Ok(pipe)
    }

    fn open_pipe(&mut self, at: usize, words: &mut Words, two: bool) -> Result<Pipe, Fault> {
        let mut pipe = Pipe { at, variables: Vec::new(), declares: false, commands: Vec::new() };
        let mut ahead = words.clone();
        if let Some(variables) = targets(&mut ahead, two) {
            pipe.declares = matches!(ahead.next().map(|t| t.kind), Some(TokenKind::Sign(':')));
            pipe.variables = variables;
            *words = ahead;
        }
        let mut at = words.peek().map_or(at, |t| t.at);
        loop {
            let command = self.command(at, words)?;
            if let Some(first) = command.operands.first()
                && command.operands.len() > 1
                && !matches!(first.base, Base::Function(_))
            {
                return fault(first.at, "only a function takes arguments");
            }
            pipe.commands.push(command);
            match words.next_if(|t| t.kind == TokenKind::Sign('|')) {
                Some(bar) => at = bar.at,
                None => return Ok(pipe),
            }
        }
    }

    fn command(&mut self, at: usize, words: &mut Words) -> Result<Command, Fault> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(token) = words.next_if(|t| !matches!(t.kind, TokenKind::Sign('|' | ')'))) {
            let mut fields = Vec::new();
            let base = match token.kind {
                TokenKind::Dot => Base::Dot,
                TokenKind::Field(name) => {
                    fields.push(name);
                    Base::Dot
                }
                TokenKind::Variable(name) => Base::Variable(name),
                TokenKind::Literal(value) => Base::Literal(value),
                TokenKind::Name(name) if is_keyword(&name) => {
                    return fault(token.at, format!("`{name}` begins an action and stands nowhere else"));
                }
                TokenKind::Name(name) => Base::Function(name),
                TokenKind::Sign('(') => {
                    self.deeper(token.at)?;
                    let pipe = self.open_pipe(token.at, words, false)?;
                    self.depth -= 1;
                    if words.next_if(|t| t.kind == TokenKind::Sign(')')).is_none() {
                        return fault(token.at, "`(` without its `)`");
                    }
                    Base::Pipe(pipe)
                }
                TokenKind::Sign(':') => return fault(token.at, "`:=` needs one variable before it"),
                TokenKind::Sign(c) => return fault(token.at, format!("`{c}` has no meaning here")),
            };
            while let Some(Token { spaced: false, kind: TokenKind::Field(_), .. }) = words.peek() {
                if let Some(TokenKind::Field(name)) = words.next().map(|t| t.kind) {
                    fields.push(name);
                }
            }
            operands.push(Operand { at: token.at, base, fields });
        }
        if operands.is_empty() { fault(at, "a value was expected") } else { Ok(Command { at, operands }) }
    }
}

/// `$x`, or for a range `$i, $x`, if `:=` or `=` follows.
fn targets(words: &mut Words, two: bool) -> Option<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match words.next()?.kind {
            TokenKind::Variable(name) if !name.is_empty() => names.push(name),
            _ => return None,
        }
        match words.peek()?.kind {
            TokenKind::Sign(':' | '=') => return Some(names),
            TokenKind::Sign(',') if two && names.len() == 1 => drop(words.next()),
            _ => return None,
        }
    }
}

fn is_keyword(name: &str) -> bool {
    let all = ["if", "else", "end", "range", "with", "break", "continue", "define", "template", "block"];
    all.contains(&name)
}

fn finished(words: &mut Words) -> Result<(), Fault> {
    match words.next() {
        None => Ok(()),
        Some(Token { at, kind: TokenKind::Sign(')'), .. }) => fault(at, "`)` without its `(`"),
        Some(Token { at, .. }) => fault(at, "nothing more was expected here"),
    }
}
