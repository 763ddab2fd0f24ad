//! Reading the text form of a path or a pattern.

use serde_json::Value;

use super::{Element, ParsePathError};

/// Longer paths are refused: no API type nests this deep, hostile input does.
const MAX_ELEMENTS: usize = 128;

/// What stands between the brackets or after the dot.
pub(super) enum Token {
    Element(Element),
    Any,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fail(&self, why: &'static str) -> ParsePathError {
        ParsePathError {
            text: self.text.to_owned(),
            at: self.text[..self.at].chars().count() + 1,
            why,
        }
    }

    fn eat(&mut self, token: char) -> bool {
        let hit = self.rest().starts_with(token);
        if hit {
            self.at += token.len_utf8();
        }
        hit
    }

    fn name(&mut self) -> Option<String> {
        let end = self
            .rest()
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
            .unwrap_or(self.rest().len());
        if end == 0 {
            return None;
        }
        let name = self.rest()[..end].to_owned();
        self.at += end;
        Some(name)
    }

    /// One JSON scalar; what follows it stays unread.
    fn scalar(&mut self) -> Result<Value, ParsePathError> {
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) if !value.is_array() && !value.is_object() => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            _ => Err(self.fail("a JSON string, number, true, false or null is expected")),
        }
    }

    fn pairs(&mut self, first: String) -> Result<Element, ParsePathError> {
        let mut keys = Vec::new();
        let mut name = first;
        loop {
            if !self.eat('=') {
                return Err(self.fail("`=` is expected after a key name"));
            }
            keys.push((name, self.scalar()?));
            if self.eat(']') {
                return Ok(Element::Item(keys));
            }
            if !self.eat(',') {
                return Err(self.fail("`,` or `]` is expected"));
            }
            name = self.key_name()?;
        }
    }

    fn key_name(&mut self) -> Result<String, ParsePathError> {
        if self.rest().starts_with('"') {
            match self.scalar()? {
                Value::String(name) => Ok(name),
                _ => Err(self.fail("a key name is expected")),
            }
        } else {
            self.name()
                .ok_or_else(|| self.fail("a key name is expected"))
        }
    }

    fn token(&mut self) -> Result<Token, ParsePathError> {
        if self.eat('.') {
            if self.eat('*') {
                return Ok(Token::Any);
            }
            return match self.name() {
                Some(name) => Ok(Token::Element(Element::Key(name))),
                None => Err(self.fail("a name is expected; other names are written [\"…\"]")),
            };
        }
        if !self.eat('[') {
            return Err(self.fail("`.` or `[` is expected"));
        }
        if self.eat('*') {
            return if self.eat(']') {
                Ok(Token::Any)
            } else {
                Err(self.fail("`]` is expected"))
            };
        }
        if self.eat('=') {
            let value = self.scalar()?;
            return if self.eat(']') {
                Ok(Token::Element(Element::SetValue(value)))
            } else {
                Err(self.fail("`]` is expected"))
            };
        }
        let quoted = self.rest().starts_with('"');
        let name = self.key_name()?;
        if self.eat(']') {
            if quoted {
                return Ok(Token::Element(Element::Key(name)));
            }
            return match name.parse::<usize>() {
                Ok(n) if n.to_string() == name => Ok(Token::Element(Element::Index(n))),
                _ => Err(self.fail("a position, a quoted name or name=value is expected")),
            };
        }
        self.pairs(name).map(Token::Element)
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParsePathError> {
    let mut reader = Reader { text, at: 0 };
    let mut out = Vec::new();
    if text.is_empty() || text == "." {
        return Ok(out);
    }
    while !reader.rest().is_empty() {
        if out.len() == MAX_ELEMENTS {
            return Err(reader.fail("the path is too long"));
        }
        out.push(reader.token()?);
    }
    Ok(out)
}
