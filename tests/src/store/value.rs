//! How values compare and add, as docs/protocol.md says. The decimals of these worlds have at most three digits
//! behind the point.

use std::cmp::Ordering;

use seawall::message::check::Compare;
use seawall::{Code, Value};

pub fn holds(op: Compare, left: &Value, right: &Value) -> bool {
    match (left, right, op) {
        (Value::Set(left), Value::Set(right), Compare::Eq) => left == right,
        (Value::Set(left), Value::Set(right), Compare::Ne) => left != right,
        _ => order(left, right).is_some_and(|order| op.holds(order)),
    }
}

/// `None`: they stand in no order.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        _ => Some(parts(left)?.cmp(&parts(right)?)),
    }
}

/// The whole part, rounded down, and thousandths.
fn parts(value: &Value) -> Option<(i128, i128)> {
    match value {
        Value::Int(number) => Some((*number, 0)),
        Value::Decimal { mantissa, scale } => {
            let one = 10i128.pow(u32::from(*scale));
            let missing = 10i128.pow(3 - u32::from(*scale));
            Some((mantissa.div_euclid(one), mantissa.rem_euclid(one) * missing))
        }
        _ => None,
    }
}

/// An absent number counts as 0 of the delta's kind.
pub fn add(number: Option<&Value>, delta: &Value) -> Result<Value, Code> {
    let scaled = |mantissa: i128, by: u8| mantissa.checked_mul(10i128.pow(u32::from(by)));
    let sum = match (number, delta) {
        (None, delta) => Some(delta.clone()),
        (Some(Value::Int(number)), Value::Int(delta)) => number.checked_add(*delta).map(Value::Int),
        (Some(Value::Decimal { mantissa, scale }), delta) => {
            let (other, digits) = match delta {
                Value::Int(other) => (*other, 0),
                Value::Decimal { mantissa, scale } => (*mantissa, *scale),
                _ => return Err(Code::Constraint),
            };
            let most = digits.max(*scale);
            let sides = scaled(*mantissa, most - scale).zip(scaled(other, most - digits));
            let sum = sides.and_then(|(left, right)| left.checked_add(right));
            sum.map(|mantissa| Value::Decimal { mantissa, scale: most })
        }
        _ => None,
    };
    sum.ok_or(Code::Constraint)
}
