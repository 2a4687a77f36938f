//! Operators (language.md 3): exact types, no silent conversion, overflow is an error.

use super::fault::Fault;
use crate::api::Code;
use crate::lang::{Binary, Kind, Value};
use jiff::SignedDuration;
use jiff::civil::{Date, Time};
use std::cmp::Ordering;

type Result<T> = std::result::Result<T, Box<Fault>>;

const DAY: i64 = 86_400;

/// `a <operator> b`
#[inline]
pub fn binary(operator: Binary, a: &Value, b: &Value) -> Result<Value> {
    if let (Value::Integer(a), Value::Integer(b)) = (a, b) {
        return integers(operator, *a, *b);
    }
    match operator {
        Binary::Add => add(a, b),
        Binary::Subtract => subtract(a, b),
        Binary::Multiply | Binary::Divide | Binary::Remainder => Err(mismatch(operator, a, b)),
        _ => compare(operator, a, b).map(Value::Boolean),
    }
}

#[inline]
fn integers(operator: Binary, a: i64, b: i64) -> Result<Value> {
    let result = match operator {
        Binary::Equal => return Ok((a == b).into()),
        Binary::Unequal => return Ok((a != b).into()),
        Binary::Less => return Ok((a < b).into()),
        Binary::LessOrEqual => return Ok((a <= b).into()),
        Binary::Greater => return Ok((a > b).into()),
        Binary::GreaterOrEqual => return Ok((a >= b).into()),
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide | Binary::Remainder if b == 0 => return Err(Fault::new("division by zero")),
        // Toward zero; the remainder has the dividend's sign.
        Binary::Divide => a.checked_div(b),
        Binary::Remainder => Some(a.wrapping_rem(b)),
    };
    match result {
        Some(n) => Ok(Value::Integer(n)),
        None => Err(overflow(operator, a, b)),
    }
}

#[cold]
fn overflow(operator: Binary, a: i64, b: i64) -> Box<Fault> {
    Fault::new(format!("{a} {} {b} is too large for an integer", operator.symbol())).help(format!(
        "integers go from {} to {}",
        i64::MIN,
        i64::MAX
    ))
}

fn add(a: &Value, b: &Value) -> Result<Value> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(Value::String(format!("{a}{b}").into())),
        (Value::Date(date), Value::Integer(days)) => shift_date(*date, Some(*days)),
        (Value::Time(time), Value::Integer(seconds)) => Ok(Value::Time(shift_time(*time, *seconds))),
        _ => Err(mismatch(Binary::Add, a, b)),
    }
}

fn subtract(a: &Value, b: &Value) -> Result<Value> {
    match (a, b) {
        (Value::Date(date), Value::Integer(days)) => shift_date(*date, days.checked_neg()),
        (Value::Time(time), Value::Integer(seconds)) => {
            Ok(Value::Time(shift_time(*time, (seconds % DAY).wrapping_neg())))
        }
        (Value::Date(a), Value::Date(b)) => Ok(Value::Integer(a.duration_since(*b).as_hours() / 24)),
        (Value::Time(a), Value::Time(b)) => Ok(Value::Integer(a.duration_since(*b).as_secs())),
        _ => Err(mismatch(Binary::Subtract, a, b)),
    }
}

fn shift_date(date: Date, days: Option<i64>) -> Result<Value> {
    days.and_then(|days| days.checked_mul(24))
        .and_then(SignedDuration::try_from_hours)
        .and_then(|span| date.checked_add(span).ok())
        .filter(|date| date.year() >= 0)
        .map(Value::Date)
        .ok_or_else(|| {
            Fault::with(Code::DateIsInvalid, "there is no such date").help("years go from 0000 to 9999")
        })
}

/// Past midnight too.
fn shift_time(time: Time, seconds: i64) -> Time {
    time.wrapping_add(SignedDuration::from_secs(seconds % DAY))
}

/// A comparison of values of one type.
fn compare(operator: Binary, a: &Value, b: &Value) -> Result<bool> {
    let ordering = match (a, b) {
        // Exactly, by code point; UTF-8 keeps that order.
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        _ => {
            return match operator {
                Binary::Equal if a.kind() == b.kind() => Ok(a == b),
                Binary::Unequal if a.kind() == b.kind() => Ok(a != b),
                _ => Err(mismatch(operator, a, b)),
            };
        }
    };
    Ok(match operator {
        Binary::Equal => ordering == Ordering::Equal,
        Binary::Unequal => ordering != Ordering::Equal,
        Binary::Less => ordering == Ordering::Less,
        Binary::LessOrEqual => ordering != Ordering::Greater,
        Binary::Greater => ordering == Ordering::Greater,
        _ => ordering != Ordering::Less,
    })
}

#[cold]
fn mismatch(operator: Binary, a: &Value, b: &Value) -> Box<Fault> {
    let (left, right) = (a.kind(), b.kind());
    let message = match operator {
        Binary::Add => format!("{left} and {right} cannot be added"),
        Binary::Subtract => format!("{right} cannot be subtracted from {left}"),
        Binary::Multiply => format!("{left} and {right} cannot be multiplied"),
        Binary::Divide | Binary::Remainder => format!("{left} cannot be divided by {right}"),
        _ => format!("{left} and {right} cannot be compared with {}", operator.symbol()),
    };
    let fault = Fault::new(message);
    match (left, right) {
        (Kind::String, Kind::Integer) if operator == Binary::Add => {
            fault.help("join them in one text: $\"...{$n}\", or make a number of the string: int(...)")
        }
        (Kind::Integer, Kind::String) | (Kind::String, Kind::Integer) => {
            fault.help("int(...) makes a number of a string, string(...) a string of a number")
        }
        (Kind::Boolean, Kind::Integer) | (Kind::Integer, Kind::Boolean) => {
            fault.help("a comparison gives a boolean: put it in parentheses, or join conditions with AND")
        }
        _ => fault,
    }
}

/// `-a`
pub fn negate(value: &Value) -> Result<Value> {
    match value {
        Value::Integer(n) => n.checked_neg().map(Value::Integer).ok_or_else(|| {
            Fault::new(format!("-({n}) is too large for an integer")).help(format!(
                "integers go from {} to {}",
                i64::MIN,
                i64::MAX
            ))
        }),
        other => Err(Fault::new(format!("{} has no negative", other.kind()))),
    }
}

/// A condition, or a side of AND, OR and NOT.
#[inline]
pub fn truth(value: &Value) -> Result<bool> {
    match value {
        Value::Boolean(b) => Ok(*b),
        other => Err(no_condition(other)),
    }
}

#[cold]
fn no_condition(value: &Value) -> Box<Fault> {
    let fault = Fault::new(format!("a condition is a boolean, not {}", value.kind()));
    match value {
        Value::Integer(_) => fault.help("compare it: $r > 0"),
        _ => fault.help("compare it: $x = ..."),
    }
}

/// `x[i]`
pub fn index(value: &Value, index: &Value) -> Result<Value> {
    match (value, index) {
        (Value::List(list), Value::Integer(n)) => {
            usize::try_from(*n).ok().and_then(|n| list.get(n)).cloned().ok_or_else(|| {
                let fault = Fault::new(format!("the list has no item {n}"));
                match list.len() {
                    0 => fault.help("it is empty"),
                    len => fault.help(format!("its items are 0 to {}", len - 1)),
                }
            })
        }
        (Value::Map(_), Value::String(name)) => field(value, name),
        (Value::List(_), other) => {
            Err(Fault::new(format!("a list's item is chosen by an integer, not {}", other.kind())))
        }
        (Value::Map(_), other) => {
            Err(Fault::new(format!("a map's entry is chosen by a string, not {}", other.kind())))
        }
        (other, _) => Err(Fault::new(format!("{} has no items", other.kind()))),
    }
}

/// `x.name`
pub fn field(value: &Value, name: &str) -> Result<Value> {
    let Value::Map(map) = value else {
        return Err(Fault::new(format!("{} has no fields", value.kind()))
            .help("fields belong to maps, as status() gives"));
    };
    // The keys that functions make are in lower case.
    if let Some(found) = map.get(name).or_else(|| map.get(&name.to_lowercase())) {
        return Ok(found.clone());
    }
    let fault = Fault::new(format!("there is no field {name}"));
    Err(match crate::lang::nearest(name, map.keys().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean {near}?")),
        None => fault.help(format!("its fields: {}", map.keys().cloned().collect::<Vec<_>>().join(" "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};
    use proptest::prelude::*;
    use std::sync::Arc;

    const ALL: [Binary; 11] = [
        Binary::Equal,
        Binary::Unequal,
        Binary::Less,
        Binary::LessOrEqual,
        Binary::Greater,
        Binary::GreaterOrEqual,
        Binary::Add,
        Binary::Subtract,
        Binary::Multiply,
        Binary::Divide,
        Binary::Remainder,
    ];

    fn model(operator: Binary, a: i128, b: i128) -> Option<Value> {
        let fits = |n: i128| i64::try_from(n).ok().map(Value::Integer);
        match operator {
            Binary::Equal => Some((a == b).into()),
            Binary::Unequal => Some((a != b).into()),
            Binary::Less => Some((a < b).into()),
            Binary::LessOrEqual => Some((a <= b).into()),
            Binary::Greater => Some((a > b).into()),
            Binary::GreaterOrEqual => Some((a >= b).into()),
            Binary::Add => fits(a + b),
            Binary::Subtract => fits(a - b),
            Binary::Multiply => fits(a * b),
            Binary::Divide => (b != 0).then(|| fits(a / b)).flatten(),
            Binary::Remainder => (b != 0).then(|| fits(a % b)).flatten(),
        }
    }

    proptest! {
        #[test]
        fn integers_follow_a_wider_model(
            a in prop_oneof![any::<i64>(), -20..20i64, Just(i64::MIN), Just(i64::MAX)],
            b in prop_oneof![any::<i64>(), -20..20i64, Just(i64::MIN), Just(i64::MAX)],
        ) {
            for operator in ALL {
                let result = binary(operator, &a.into(), &b.into()).ok();
                prop_assert_eq!(result, model(operator, a.into(), b.into()), "{} {:?} {}", a, operator, b);
            }
        }

        #[test]
        fn strings_compare_by_code_point(a in ".{0,6}", b in ".{0,6}") {
            let less = binary(Binary::Less, &Value::text(a.as_str()), &Value::text(b.as_str()));
            prop_assert_eq!(less.ok(), Some((a.chars().lt(b.chars())).into()));
        }

        #[test]
        fn dates_and_times_go_there_and_back(days in -100_000..100_000i64, seconds in any::<i64>()) {
            let day = Value::Date(date(2027, 5, 3));
            let moved = binary(Binary::Add, &day, &days.into()).unwrap();
            prop_assert_eq!(binary(Binary::Subtract, &moved, &day).ok(), Some(days.into()));
            prop_assert_eq!(binary(Binary::Subtract, &moved, &days.into()).ok(), Some(day));
            let noon = Value::Time(time(12, 0, 0, 0));
            let moved = binary(Binary::Add, &noon, &seconds.into()).unwrap();
            prop_assert_eq!(binary(Binary::Subtract, &moved, &seconds.into()).ok(), Some(noon));
        }
    }

    #[test]
    fn division_goes_toward_zero() {
        let of = |operator, a: i64, b: i64| binary(operator, &a.into(), &b.into()).unwrap();
        assert_eq!(of(Binary::Divide, -7, 2), (-3).into());
        assert_eq!(of(Binary::Remainder, -7, 2), (-1).into());
        assert_eq!(of(Binary::Remainder, i64::MIN, -1), 0.into());
    }

    #[test]
    fn mixing_types_is_an_error_not_false() {
        let values = [
            Value::Integer(1),
            Value::text("1"),
            Value::Date(date(2027, 1, 1)),
            Value::Time(time(1, 0, 0, 0)),
            Value::Boolean(true),
            Value::List(Arc::new(vec![])),
            Value::Map(Arc::default()),
        ];
        for a in &values {
            for b in &values {
                let same = a.kind() == b.kind();
                assert_eq!(binary(Binary::Equal, a, b).is_ok(), same, "{a:?} = {b:?}");
                let ordered =
                    same && matches!(a.kind(), Kind::Integer | Kind::String | Kind::Date | Kind::Time);
                assert_eq!(binary(Binary::Less, a, b).is_ok(), ordered, "{a:?} < {b:?}");
            }
        }
        assert!(binary(Binary::Add, &"a".to_owned().into_value(), &1.into()).is_err());
    }

    trait IntoValue {
        fn into_value(self) -> Value;
    }

    impl IntoValue for String {
        fn into_value(self) -> Value {
            Value::text(self)
        }
    }

    #[test]
    fn times_pass_midnight() {
        let late = Value::Time(time(23, 59, 59, 0));
        assert_eq!(binary(Binary::Add, &late, &2.into()).unwrap(), Value::Time(time(0, 0, 1, 0)));
        let early = Value::Time(time(0, 0, 1, 0));
        assert_eq!(binary(Binary::Subtract, &early, &2.into()).unwrap(), late);
        assert_eq!(binary(Binary::Subtract, &early, &late).unwrap(), (-86398).into());
    }

    #[test]
    fn dates_past_the_calendar_are_errors() {
        let last = Value::Date(date(9999, 12, 31));
        assert_eq!(binary(Binary::Add, &last, &1.into()).unwrap_err().code, 114);
        assert!(binary(Binary::Subtract, &last, &i64::MIN.into()).is_err());
        assert!(binary(Binary::Add, &last, &i64::MAX.into()).is_err());
    }

    #[test]
    fn fields_and_items_that_are_not_there() {
        let list = Value::List(Arc::new(vec![5.into()]));
        assert_eq!(index(&list, &0.into()).unwrap(), 5.into());
        assert_eq!(index(&list, &1.into()).unwrap_err().message, "the list has no item 1");
        assert!(index(&list, &(-1).into()).is_err());
        let map = Value::Map(Arc::new([("target_state".to_owned(), Value::text("OK"))].into()));
        assert_eq!(field(&map, "Target_State").unwrap(), Value::text("OK"));
        assert_eq!(
            field(&map, "target_stat").unwrap_err().help.as_deref(),
            Some("did you mean target_state?")
        );
    }
}
