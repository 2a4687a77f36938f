//! The functions of language.md 3 that need no machine.

use super::fault::Fault;
use super::pattern;
use crate::api::Code;
use crate::lang::{self, Function, Value};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<Fault>>;

/// Calls a function; none for those that ask a machine.
pub fn call(function: Function, arguments: &[Value]) -> Option<Result<Value>> {
    let text = |n: usize| string(function, arguments, n);
    Some(match function {
        Function::Len => len(&arguments[0]),
        Function::Upper => text(0).map(|text| Value::text(text.to_uppercase())),
        Function::Lower => text(0).map(|text| Value::text(text.to_lowercase())),
        Function::Trim => text(0).map(|text| Value::text(text.trim())),
        Function::Contains => contains(&arguments[0], &arguments[1]),
        Function::StartsWith => text(0).and_then(|whole| Ok(whole.starts_with(text(1)?).into())),
        Function::Split => text(0).and_then(|whole| Ok(split(whole, text(1)?))),
        Function::Join => join(arguments),
        Function::Replace => replace(arguments),
        Function::Match => text(0).and_then(|whole| Ok(pattern::matches(whole, text(1)?).into())),
        Function::Int => int(&arguments[0]),
        Function::String => Ok(Value::text(arguments[0].to_string())),
        Function::Date => date(arguments),
        Function::Time => time(arguments),
        Function::Now => Ok(Value::Integer(jiff::Timestamp::now().as_second())),
        Function::Env => env(arguments),
        Function::Exists => text(0).map(|path| std::path::Path::new(path).exists().into()),
        Function::FormatBytes => integer(function, arguments, 0).map(|n| Value::text(format_bytes(n))),
        Function::Option | Function::Status | Function::Connections | Function::Repsets => return None,
    })
}

/// An argument that has to be a string.
pub fn string(function: Function, arguments: &[Value], n: usize) -> Result<&str> {
    match &arguments[n] {
        Value::String(text) => Ok(text),
        other => Err(wrong(function, n, "a string", other).help("string(...) makes a string of any value")),
    }
}

fn integer(function: Function, arguments: &[Value], n: usize) -> Result<i64> {
    match &arguments[n] {
        Value::Integer(number) => Ok(*number),
        other => Err(wrong(function, n, "an integer", other).help("int(...) makes a number of a string")),
    }
}

fn wrong(function: Function, n: usize, wanted: &str, given: &Value) -> Box<Fault> {
    let which = match n {
        0 => "first",
        1 => "second",
        _ => "third",
    };
    Fault::new(format!("{} takes {wanted} as its {which} argument, not {}", function.name(), given.kind()))
}

fn size(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn len(value: &Value) -> Result<Value> {
    match value {
        Value::String(text) => Ok(size(text.chars().count())),
        Value::List(list) => Ok(size(list.len())),
        Value::Map(map) => Ok(size(map.len())),
        other => Err(wrong(Function::Len, 0, "a string, list or map", other)),
    }
}

fn contains(whole: &Value, part: &Value) -> Result<Value> {
    Ok(match (whole, part) {
        (Value::String(whole), Value::String(part)) => whole.contains(&**part),
        (Value::List(list), part) => list.contains(part),
        (Value::Map(map), Value::String(key)) => map.contains_key(&**key),
        (Value::String(_) | Value::Map(_), other) => {
            return Err(wrong(Function::Contains, 1, "a string", other));
        }
        (other, _) => return Err(wrong(Function::Contains, 0, "a string, list or map", other)),
    }
    .into())
}

/// Without a separator: the characters.
fn split(whole: &str, separator: &str) -> Value {
    let parts = if separator.is_empty() {
        whole.chars().map(|c| Value::text(c.to_string())).collect()
    } else {
        whole.split(separator).map(Value::text).collect()
    };
    Value::List(Arc::new(parts))
}

fn join(arguments: &[Value]) -> Result<Value> {
    let Value::List(list) = &arguments[0] else {
        return Err(wrong(Function::Join, 0, "a list", &arguments[0]));
    };
    let separator = string(Function::Join, arguments, 1)?;
    let parts: Vec<String> = list.iter().map(Value::to_string).collect();
    Ok(Value::text(parts.join(separator)))
}

fn replace(arguments: &[Value]) -> Result<Value> {
    let function = Function::Replace;
    let (whole, old) = (string(function, arguments, 0)?, string(function, arguments, 1)?);
    if old.is_empty() {
        return Err(Fault::new("replace cannot look for an empty text"));
    }
    Ok(Value::text(whole.replace(old, string(function, arguments, 2)?)))
}

fn int(value: &Value) -> Result<Value> {
    match value {
        Value::Integer(n) => Ok(Value::Integer(*n)),
        Value::String(text) => text.trim().parse().map(Value::Integer).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            Fault::new(format!("\"{shown}\" is no integer")).help(format!(
                "digits, a sign before them if need be, from {} to {}",
                i64::MIN,
                i64::MAX
            ))
        }),
        other => Err(wrong(Function::Int, 0, "a string", other)),
    }
}

fn date(arguments: &[Value]) -> Result<Value> {
    let no_date = |shown: String| {
        Fault::with(Code::DateIsInvalid, format!("there is no date {shown}"))
            .help("a date is mm/dd/yy or mm/dd/yyyy")
    };
    match arguments {
        [Value::Date(date)] => Ok(Value::Date(*date)),
        [_] => {
            let text = string(Function::Date, arguments, 0)?;
            lang::date(text.trim()).map(Value::Date).ok_or_else(|| no_date(text.to_owned()))
        }
        _ => {
            let [year, month, day] = numbers(Function::Date, arguments)?;
            let field = |n: i64| i8::try_from(n).ok();
            i16::try_from(year)
                .ok()
                .filter(|year| *year >= 0)
                .zip(field(month).zip(field(day)))
                .and_then(|(year, (month, day))| jiff::civil::Date::new(year, month, day).ok())
                .map(Value::Date)
                .ok_or_else(|| no_date(format!("{month}/{day}/{year}")))
        }
    }
}

fn time(arguments: &[Value]) -> Result<Value> {
    let no_time = |shown: String| {
        Fault::with(Code::TimeIsInvalid, format!("there is no time {shown}"))
            .help("a time is hh:mm or hh:mm:ss")
    };
    match arguments {
        [Value::Time(time)] => Ok(Value::Time(*time)),
        [_] => {
            let text = string(Function::Time, arguments, 0)?;
            lang::time(text.trim()).map(Value::Time).ok_or_else(|| no_time(text.to_owned()))
        }
        _ => {
            let [hour, minute, second] = numbers(Function::Time, arguments)?;
            let field = |n: i64| i8::try_from(n).ok();
            field(hour)
                .zip(field(minute).zip(field(second)))
                .and_then(|(hour, (minute, second))| jiff::civil::Time::new(hour, minute, second, 0).ok())
                .map(Value::Time)
                .ok_or_else(|| no_time(format!("{hour}:{minute}:{second}")))
        }
    }
}

fn numbers(function: Function, arguments: &[Value]) -> Result<[i64; 3]> {
    let mut all = [0; 3];
    for (n, place) in all.iter_mut().enumerate().take(arguments.len()) {
        *place = integer(function, arguments, n)?;
    }
    Ok(all)
}

/// A variable of the environment, else the second argument, else "".
fn env(arguments: &[Value]) -> Result<Value> {
    let name = string(Function::Env, arguments, 0)?;
    // `var_os` refuses such names by panicking on some platforms.
    let found = if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(name) };
    Ok(match (found, arguments.get(1)) {
        (Some(text), _) => Value::text(text.to_string_lossy()),
        (None, Some(default)) => default.clone(),
        (None, None) => Value::text(""),
    })
}

/// `1.5 GiB`: powers of 1024, one decimal, rounded down so that less is never shown as more.
fn format_bytes(n: i64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let sign = if n < 0 { "-" } else { "" };
    let bytes = n.unsigned_abs();
    if bytes < 1024 {
        return format!("{sign}{bytes} bytes");
    }
    let power = (63 - bytes.leading_zeros()) / 10;
    let unit = 1u64 << (10 * power);
    let tenths = u128::from(bytes % unit) * 10 / u128::from(unit);
    format!("{sign}{}.{tenths} {}", bytes / unit, UNITS[power as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(function: Function, arguments: &[Value]) -> String {
        call(function, arguments).unwrap().unwrap().to_string()
    }

    fn t(text: &str) -> Value {
        Value::text(text)
    }

    #[test]
    fn texts() {
        assert_eq!(ok(Function::Len, &[t("日本")]), "2");
        assert_eq!(ok(Function::Upper, &[t("straße")]), "STRASSE");
        assert_eq!(ok(Function::Trim, &[t(" \ta b ")]), "a b");
        assert_eq!(ok(Function::Contains, &[t("abc"), t("bc")]), "TRUE");
        assert_eq!(ok(Function::StartsWith, &[t("abc"), t("bc")]), "FALSE");
        assert_eq!(ok(Function::Split, &[t("a,b,"), t(",")]), r#"["a","b",""]"#);
        assert_eq!(ok(Function::Split, &[t("ab"), t("")]), r#"["a","b"]"#);
        assert_eq!(ok(Function::Replace, &[t("a/b/c"), t("/"), t("-")]), "a-b-c");
        let list = call(Function::Split, &[t("a b"), t(" ")]).unwrap().unwrap();
        assert_eq!(ok(Function::Join, &[list.clone(), t("+")]), "a+b");
        assert_eq!(ok(Function::Contains, &[list, t("b")]), "TRUE");
        assert!(call(Function::Replace, &[t("a"), t(""), t("b")]).unwrap().is_err());
        assert_eq!(
            call(Function::Upper, &[5.into()]).unwrap().unwrap_err().message,
            "upper takes a string as its first argument, not an integer"
        );
    }

    #[test]
    fn conversions() {
        assert_eq!(ok(Function::Int, &[t(" -12 ")]), "-12");
        assert!(call(Function::Int, &[t("12x")]).unwrap().is_err());
        assert!(call(Function::Int, &[t("9223372036854775808")]).unwrap().is_err());
        assert_eq!(ok(Function::Date, &[t("1/2/27")]), "01/02/2027");
        assert_eq!(ok(Function::Date, &[2028.into(), 2.into(), 29.into()]), "02/29/2028");
        assert_eq!(call(Function::Date, &[t("2/30/27")]).unwrap().unwrap_err().code, 114);
        assert_eq!(ok(Function::Time, &[t("9:05")]), "09:05:00");
        assert_eq!(ok(Function::Time, &[9.into(), 5.into()]), "09:05:00");
        assert_eq!(call(Function::Time, &[t("25:00")]).unwrap().unwrap_err().code, 115);
    }

    #[test]
    fn environment() {
        assert_eq!(ok(Function::Env, &[t("DTCL_NO_SUCH_VARIABLE")]), "");
        assert_eq!(ok(Function::Env, &[t("DTCL_NO_SUCH_VARIABLE"), t("x")]), "x");
        assert_eq!(ok(Function::Env, &[t("A=B")]), "");
        assert_eq!(ok(Function::Exists, &[t("/")]), "TRUE");
        assert_eq!(ok(Function::Exists, &[t("/no/such/path\0")]), "FALSE");
    }

    #[test]
    fn sizes_for_people() {
        let shown: Vec<String> =
            [0, 1023, 1024, 1536, 1024 * 1024 - 1, i64::MAX, i64::MIN].map(format_bytes).into();
        assert_eq!(
            shown,
            ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "1023.9 KiB", "7.9 EiB", "-8.0 EiB"]
        );
    }
}
