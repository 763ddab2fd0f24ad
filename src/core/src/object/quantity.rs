//! Kubernetes quantities (`500m`, `1.5Gi`, `12e6`) compared as exact decimals, never as floating point.

use serde_json::Value;
use std::cmp::Ordering;

/// Longer texts are no quantity: the API server stores at most 2^63 of a unit.
const MAX_DIGITS: usize = 60;

/// A decimal in scientific form: the digits without leading or trailing zeros, and the power of ten of the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

fn times(digits: &[u8], factor: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len() + 20);
    let mut carry: u128 = 0;
    for d in digits.iter().rev() {
        let value = u128::from(*d) * u128::from(factor) + carry;
        out.push(u8::try_from(value % 10).unwrap_or(0));
        carry = value / 10;
    }
    while carry > 0 {
        out.push(u8::try_from(carry % 10).unwrap_or(0));
        carry /= 10;
    }
    out.reverse();
    out
}

impl Quantity {
    fn normal(negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        let lead = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..lead);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Quantity {
                negative: false,
                digits,
                exponent: 0,
            };
        }
        Quantity {
            negative,
            digits,
            exponent,
        }
    }

    /// Reads the serialisation of `resource.Quantity` (apimachinery `quantity.go`). None when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .bytes()
            .position(|b| !b.is_ascii_digit() && b != b'.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 || number.len() > MAX_DIGITS
        {
            return None;
        }
        let digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|b| b - b'0')
            .collect();
        let exponent = -i64::try_from(fraction.len()).ok()?;
        let binary = |power: u32| {
            let mut digits = digits.clone();
            for _ in 0..power {
                digits = times(&digits, 1024);
            }
            Some(Quantity::normal(negative, digits, exponent))
        };
        let ten = match suffix {
            "" => 0,
            "n" => -9,
            "u" => -6,
            "m" => -3,
            "k" => 3,
            "M" => 6,
            "G" => 9,
            "T" => 12,
            "P" => 15,
            "E" => 18,
            "Ki" => return binary(1),
            "Mi" => return binary(2),
            "Gi" => return binary(3),
            "Ti" => return binary(4),
            "Pi" => return binary(5),
            "Ei" => return binary(6),
            _ => {
                let power: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
                if power.abs() > 100 {
                    return None;
                }
                power
            }
        };
        Some(Quantity::normal(negative, digits, exponent + ten))
    }

    /// Reads a JSON string or number.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => None,
        }
    }

    fn magnitude_cmp(&self, other: &Self) -> Ordering {
        let top = |q: &Quantity| q.digits.len() as i64 + q.exponent;
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => top(self).cmp(&top(other)).then_with(|| {
                let len = self.digits.len().max(other.digits.len());
                let padded = |q: &Quantity| {
                    let mut d = q.digits.clone();
                    d.resize(len, 0);
                    d
                };
                padded(self).cmp(&padded(other))
            }),
        }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude_cmp(other),
            (true, true) => other.magnitude_cmp(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_of_one_amount_are_equal() {
        for (a, b) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("0", "0Gi"),
            ("12E6", "12M"),
            ("-0.50", "-500m"),
            ("9007199254740993", "9007199254740993000m"),
        ] {
            assert_eq!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
        }
        for (a, b) in [
            ("1G", "1Gi"),
            ("9007199254740993", "9007199254740992"),
            ("1", "-1"),
        ] {
            assert_ne!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
        }
        for bad in ["", "Gi", "1.2.3", "1 Gi", "1gi", "0x10", "1e", "."] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn orders_as_integers_do(a in any::<i32>(), b in any::<i32>()) {
            let q = |n: i64| Quantity::parse(&format!("{n}m")).unwrap();
            prop_assert_eq!(q(a.into()).cmp(&q(b.into())), a.cmp(&b));
        }
    }
}
