//! What variables hold.

use std::{net::Ipv4Addr, rc::Rc};

use super::syntax::Statement;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nothing,
    Text(Vec<u8>),
    Number(i64),
    Bool(bool),
    Ip(u32),
    /// Members have keys or not.
    Array(Vec<(Option<Vec<u8>>, Value)>),
    Function(Rc<Vec<Statement>>),
}

impl Value {
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// As `.` and `:tostr` see it.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing | Self::Function(_) => Vec::new(),
            Self::Text(text) => text.clone(),
            Self::Number(n) => n.to_string().into_bytes(),
            Self::Bool(b) => b.to_string().into_bytes(),
            Self::Ip(ip) => Ipv4Addr::from(*ip).to_string().into_bytes(),
            Self::Array(items) => items.iter().map(|(_, v)| v.bytes()).collect::<Vec<_>>().join(&b";"[..]),
        }
    }

    pub fn string(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "str",
            Self::Number(_) => "num",
            Self::Bool(_) => "bool",
            Self::Ip(_) => "ip",
            Self::Array(_) => "array",
            Self::Function(_) => "code",
        }
    }

    pub fn items(self) -> Vec<Value> {
        match self {
            Self::Array(items) => items.into_iter().map(|(_, v)| v).collect(),
            Self::Nothing => Vec::new(),
            one => vec![one],
        }
    }
}
