//! Values that are compared and added: which kinds go together, and what overflows.
//!
//! Numbers compare by what they are worth, whatever their kind and scale: 420.00 equals 420 here, although the two are
//! different values in a row. Times compare with times, texts with texts and bytes with bytes (both by their bytes),
//! bools with bools (false first). Sets stand in no order. Nothing else compares.

use std::cmp::Ordering;
use std::fmt;

use crate::limits::DECIMAL_SCALE_MAX;
use crate::value::{Value, ValueRef};

/// The order of two values, or `None`: they stand in none.
pub fn compare(left: &ValueRef<'_>, right: &ValueRef<'_>) -> Option<Ordering> {
    match (left, right) {
        (ValueRef::Bool(left), ValueRef::Bool(right)) => Some(left.cmp(right)),
        (ValueRef::Time(left), ValueRef::Time(right)) => Some(left.cmp(right)),
        (ValueRef::Text(left), ValueRef::Text(right)) => Some(left.cmp(right)),
        (ValueRef::Bytes(left), ValueRef::Bytes(right)) => Some(left.cmp(right)),
        _ => Some(Number::of(left)?.cmp(&Number::of(right)?)),
    }
}

/// The sum of two numbers. It has the kind of the first one, and the larger of two scales; an int takes no decimal.
pub fn add(number: &ValueRef<'_>, delta: &ValueRef<'_>) -> Result<Value, NoSum> {
    match (*number, *delta) {
        (ValueRef::Int(number), ValueRef::Int(delta)) => {
            number.checked_add(delta).map(Value::Int).ok_or(NoSum::Overflow)
        }
        (ValueRef::Decimal { .. }, ValueRef::Int(_) | ValueRef::Decimal { .. }) => {
            let (number, delta) = (Number::of(number), Number::of(delta));
            let (number, delta) = number.zip(delta).ok_or(NoSum::Kind)?;
            let scale = number.scale.max(delta.scale);
            let sum = number.scaled(scale).zip(delta.scaled(scale)).and_then(|(a, b)| a.checked_add(b));
            sum.map(|mantissa| Value::Decimal { mantissa, scale }).ok_or(NoSum::Overflow)
        }
        _ => Err(NoSum::Kind),
    }
}

/// Why two values have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSum {
    /// It does not fit into 128 bits.
    Overflow,
    /// One is no number, or a decimal should be added to an int.
    Kind,
}

impl fmt::Display for NoSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSum::Overflow => "the sum does not fit into 128 bits",
            NoSum::Kind => {
                "these kinds have no sum: a number takes an int, and a decimal takes a decimal, too"
            }
        })
    }
}

impl std::error::Error for NoSum {}

/// `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug)]
struct Number {
    mantissa: i128,
    scale: u8,
}

impl Number {
    fn of(value: &ValueRef<'_>) -> Option<Number> {
        match *value {
            ValueRef::Int(mantissa) => Some(Number { mantissa, scale: 0 }),
            ValueRef::Decimal { mantissa, scale } if scale <= DECIMAL_SCALE_MAX => {
                Some(Number { mantissa, scale })
            }
            _ => None,
        }
    }

    /// The mantissa of the same number with `scale` digits behind the point, of which there are fewer now.
    fn scaled(self, scale: u8) -> Option<i128> {
        self.mantissa.checked_mul(power(scale - self.scale))
    }

    /// Exact, and without a wider integer: whole parts first, then fractions, each below one.
    fn cmp(&self, other: &Number) -> Ordering {
        let whole = |number: &Number| number.mantissa.div_euclid(power(number.scale));
        let fraction = |number: &Number| {
            number.mantissa.rem_euclid(power(number.scale)) * power(DECIMAL_SCALE_MAX - number.scale)
        };
        whole(self).cmp(&whole(other)).then_with(|| fraction(self).cmp(&fraction(other)))
    }
}

const _: () = assert!(DECIMAL_SCALE_MAX == 38, "10^38 is the largest power of ten in an i128");

fn power(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent))
}
