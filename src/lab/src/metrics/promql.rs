//! A subset of PromQL, evaluated as Prometheus does it: selectors, `rate` and `increase`, aggregations, arithmetic, comparisons, `or`.
//!
//! What is not in the subset is an error by name, never a wrong number.

mod eval;
mod parse;

pub use eval::{Value, evaluate};
pub use parse::parse;

/// A label matcher of a selector.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub label: String,
    pub negated: bool,
    pub test: Test,
}

#[derive(Clone, Debug)]
pub enum Test {
    Equals(String),
    /// Anchored at both ends.
    Pattern(regex::Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Or,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Binary {
    fn is_comparison(self) -> bool {
        !matches!(
            self,
            Binary::Or | Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Sum,
    Min,
    Max,
    Avg,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Rate,
    Increase,
}

#[derive(Clone, Debug)]
pub enum Expr {
    Number(f64),
    Select(Vec<Matcher>),
    /// A function over a range selector, its window in milliseconds.
    Window(Range, Vec<Matcher>, i64),
    /// `vector(scalar)`.
    Vector(Box<Expr>),
    Negate(Box<Expr>),
    Aggregate {
        how: Aggregate,
        /// Group by these labels, or by all but these.
        without: bool,
        labels: Vec<String>,
        of: Box<Expr>,
    },
    Binary {
        how: Binary,
        /// `bool`: a comparison gives 0 or 1 rather than filtering.
        as_bool: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}
