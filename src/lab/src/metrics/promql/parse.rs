//! Text to expression.

use super::{Aggregate, Binary, Expr, Matcher, Range, Test};

/// Nesting beyond this is refused: an expression comes from outside.
const DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Duration(i64),
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "=~", "!~", "{", "}", "(", ")", "[", "]", ",", "=", "<", ">", "+", "-",
    "*", "/", "%", "^", "@", ":",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Ok(out);
        };
        if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if first == '"' || first == '\'' || first == '`' {
            let (value, after) = quoted(rest, first)?;
            out.push(Token::Text(value));
            rest = after;
        } else if first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
                .unwrap_or(rest.len());
            // An exponent may have a sign.
            let end = if rest[..end].ends_with(['e', 'E'])
                && !rest[..end].starts_with("0x")
                && rest[end..].starts_with(['+', '-'])
            {
                let more = rest[end + 1..]
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len() - end - 1);
                end + 1 + more
            } else {
                end
            };
            let word = &rest[..end];
            let token = match word.parse::<f64>() {
                Ok(number) => Token::Number(number),
                Err(_) => crate::durations::parse(word)
                    .and_then(|duration| i64::try_from(duration.as_millis()).ok())
                    .map(Token::Duration)
                    .ok_or_else(|| format!("bad number or duration syntax: {word:?}"))?,
            };
            out.push(token);
            rest = &rest[end..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                .unwrap_or(rest.len());
            out.push(Token::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            return Err(format!("unexpected character: {first:?}"));
        }
    }
}

fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                Some((_, c)) => {
                    return Err(format!("unknown escape sequence U+{:04X}", u32::from(c)));
                }
                None => break,
            },
            c if c == quote => return Ok((value, &text[at + c.len_utf8()..])),
            c => value.push(c),
        }
    }
    Err("unterminated quoted string".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// Reads an expression; the error is for the operator.
pub fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    if parser.tokens.is_empty() {
        return Err("no expression found in input".to_owned());
    }
    let expr = parser.binary(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("unexpected {}", show(token))),
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("<identifier> {name:?}"),
        Token::Text(text) => format!("string {text:?}"),
        Token::Number(number) => format!("number {number}"),
        Token::Duration(ms) => format!("duration of {ms} ms"),
        Token::Sign(sign) => format!("{sign:?}"),
    }
}

/// Loosest first.
const LEVELS: &[&[(&str, Binary)]] = &[
    &[("or", Binary::Or)],
    &[
        ("==", Binary::Equal),
        ("!=", Binary::NotEqual),
        ("<=", Binary::LessOrEqual),
        (">=", Binary::GreaterOrEqual),
        ("<", Binary::Less),
        (">", Binary::Greater),
    ],
    &[("+", Binary::Add), ("-", Binary::Subtract)],
    &[("*", Binary::Multiply), ("/", Binary::Divide)],
];

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("unexpected end of input")?;
        self.at += 1;
        Ok(token)
    }

    fn sign(&mut self, sign: &'static str) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.sign(sign) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(token) => format!("unexpected {}, expected {sign:?}", show(token)),
            None => format!("unexpected end of input, expected {sign:?}"),
        })
    }

    fn word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Name(name)) if name.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn operator(&mut self, level: usize) -> Option<Binary> {
        let found = match self.peek()? {
            Token::Sign(sign) => LEVELS[level].iter().find(|(text, _)| text == sign),
            Token::Name(name) => LEVELS[level]
                .iter()
                .find(|(text, _)| name.eq_ignore_ascii_case(text)),
            _ => None,
        };
        let (_, how) = found?;
        self.at += 1;
        Some(*how)
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        if level == LEVELS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        while let Some(how) = self.operator(level) {
            let as_bool = how.is_comparison() && self.word("bool");
            for word in ["on", "ignoring", "group_left", "group_right"] {
                if self.word(word) {
                    return Err(format!(
                        "vector matching with {word:?} is not supported here"
                    ));
                }
            }
            let right = self.binary(level + 1)?;
            left = Expr::Binary {
                how,
                as_bool,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
        if level == 0
            && let Some(token) = self.peek()
        {
            let unsupported = match token {
                Token::Sign(sign @ ("%" | "^" | "@")) => Some((*sign).to_owned()),
                Token::Name(name)
                    if ["and", "unless", "atan2", "offset"]
                        .contains(&name.to_lowercase().as_str()) =>
                {
                    Some(name.clone())
                }
                _ => None,
            };
            if let Some(what) = unsupported {
                return Err(format!("{what:?} is not supported here"));
            }
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("more than {DEPTH} levels of nesting"));
        }
        let expr = if self.sign("-") {
            Expr::Negate(Box::new(self.unary()?))
        } else if self.sign("+") {
            self.unary()?
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        if self.sign("(") {
            let inner = self.binary(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.peek() == Some(&Token::Sign("{")) {
            let matchers = self.matchers(None)?;
            return self.no_window(Expr::Select(matchers));
        }
        match self.take()? {
            Token::Number(number) => Ok(Expr::Number(number)),
            Token::Name(name) => self.named(&name),
            Token::Text(_) => {
                Err("a string is not an expression that can be evaluated here".to_owned())
            }
            other => Err(format!("unexpected {}", show(&other))),
        }
    }

    fn no_window(&self, expr: Expr) -> Result<Expr, String> {
        if self.peek() == Some(&Token::Sign("[")) {
            return Err("a range selector stands only inside rate() or increase() here".to_owned());
        }
        Ok(expr)
    }

    fn named(&mut self, name: &str) -> Result<Expr, String> {
        let lower = name.to_lowercase();
        let aggregate = match lower.as_str() {
            "sum" => Some(Aggregate::Sum),
            "min" => Some(Aggregate::Min),
            "max" => Some(Aggregate::Max),
            "avg" => Some(Aggregate::Avg),
            "count" => Some(Aggregate::Count),
            _ => None,
        };
        let opens = self.peek() == Some(&Token::Sign("("));
        let groups = matches!(self.peek(), Some(Token::Name(word)) if ["by", "without"].contains(&word.to_lowercase().as_str()));
        match aggregate {
            Some(how) if opens || groups => return self.aggregate(how),
            _ => {}
        }
        match lower.as_str() {
            "inf" => return Ok(Expr::Number(f64::INFINITY)),
            "nan" => return Ok(Expr::Number(f64::NAN)),
            _ => {}
        }
        if !opens {
            let matchers = self.matchers(Some(name))?;
            return self.no_window(Expr::Select(matchers));
        }
        self.expect("(")?;
        let expr = match name {
            "vector" => Expr::Vector(Box::new(self.binary(0)?)),
            "rate" | "increase" => {
                let how = if name == "rate" {
                    Range::Rate
                } else {
                    Range::Increase
                };
                let metric = match self.peek() {
                    Some(Token::Name(metric)) => Some(metric.clone()),
                    _ => None,
                };
                self.at += usize::from(metric.is_some());
                let matchers = self.matchers(metric.as_deref())?;
                if !self.sign("[") {
                    return Err(format!(
                        "expected type range vector in call to function {name:?}, got instant vector"
                    ));
                }
                let window = match self.take()? {
                    Token::Duration(ms) if ms > 0 => ms,
                    other => {
                        return Err(format!("unexpected {}, expected a duration", show(&other)));
                    }
                };
                if self.sign(":") {
                    return Err("subqueries are not supported here".to_owned());
                }
                self.expect("]")?;
                Expr::Window(how, matchers, window)
            }
            other => {
                return Err(format!(
                    "unknown or unsupported function with name {other:?}"
                ));
            }
        };
        self.expect(")")?;
        Ok(expr)
    }

    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>, String> {
        let without = if self.word("by") {
            false
        } else if self.word("without") {
            true
        } else {
            return Ok(None);
        };
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.sign(")") {
            match self.take()? {
                Token::Name(label) => labels.push(label),
                other => {
                    return Err(format!(
                        "unexpected {} in grouping opts, expected label",
                        show(&other)
                    ));
                }
            }
            if !self.sign(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(Some((without, labels)))
    }

    fn aggregate(&mut self, how: Aggregate) -> Result<Expr, String> {
        let before = self.grouping()?;
        self.expect("(")?;
        let of = Box::new(self.binary(0)?);
        self.expect(")")?;
        let after = if before.is_none() {
            self.grouping()?
        } else {
            None
        };
        let (without, labels) = before.or(after).unwrap_or_default();
        Ok(Expr::Aggregate {
            how,
            without,
            labels,
            of,
        })
    }

    fn matchers(&mut self, metric: Option<&str>) -> Result<Vec<Matcher>, String> {
        let mut matchers = Vec::new();
        if let Some(metric) = metric {
            matchers.push(Matcher {
                label: "__name__".to_owned(),
                negated: false,
                test: Test::Equals(metric.to_owned()),
            });
        }
        if self.sign("{") {
            while !self.sign("}") {
                let label = match self.take()? {
                    Token::Name(label) => label,
                    other => {
                        return Err(format!(
                            "unexpected {} in label matching, expected label name",
                            show(&other)
                        ));
                    }
                };
                let sign = self.take()?;
                let Token::Text(text) = self.take()? else {
                    return Err("unexpected token in label matching, expected string".to_owned());
                };
                let (negated, pattern) = match sign {
                    Token::Sign("=") => (false, false),
                    Token::Sign("!=") => (true, false),
                    Token::Sign("=~") => (false, true),
                    Token::Sign("!~") => (true, true),
                    other => {
                        return Err(format!(
                            "unexpected {} in label matching, expected label matching operator",
                            show(&other)
                        ));
                    }
                };
                let test = if pattern {
                    let regex = regex::Regex::new(&format!("^(?s:{text})$"))
                        .map_err(|error| format!("error parsing regexp: {error}"))?;
                    Test::Pattern(regex)
                } else {
                    Test::Equals(text)
                };
                matchers.push(Matcher {
                    label,
                    negated,
                    test,
                });
                if !self.sign(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if !matchers
            .iter()
            .any(|matcher| !matcher.negated && !matcher.accepts(""))
        {
            return Err("vector selector must contain at least one non-empty matcher".to_owned());
        }
        Ok(matchers)
    }
}

impl Matcher {
    /// True if the label's value (empty for an absent label) passes.
    pub fn accepts(&self, value: &str) -> bool {
        let hit = match &self.test {
            Test::Equals(text) => text == value,
            Test::Pattern(regex) => regex.is_match(value),
        };
        hit != self.negated
    }
}
