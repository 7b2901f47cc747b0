//! Our values as Cedar's. Total: what Cedar cannot hold is an error, never a guess.

use std::sync::LazyLock;

use bailiwick_model::value::{Record, Value};
use cedar_policy_core::{
    ast::{self, Name},
    extensions::Extensions,
};
use jiff::Timestamp;

/// A value that Cedar cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAValue(String);

/// A function of one of Cedar's extensions.
type Function = LazyLock<Option<&'static ast::ExtensionFunction>>;

static DECIMAL: Function = LazyLock::new(|| function("decimal"));
static DATETIME: Function = LazyLock::new(|| function("datetime"));
static DURATION: Function = LazyLock::new(|| function("duration"));
static OFFSET: Function = LazyLock::new(|| function("offset"));
/// The moment from which Cedar counts.
static EPOCH: LazyLock<Result<ast::Value, NotAValue>> = LazyLock::new(|| call(*DATETIME, &["1970-01-01".into()]));

/// One value.
pub(crate) fn value(value: &Value) -> Result<ast::Value, NotAValue> {
    Ok(match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Long(number) => (*number).into(),
        Value::Decimal(parts) => decimal(*parts)?,
        Value::String(text) => text.as_str().into(),
        Value::Set(items) => ast::Value::set(items.iter().map(self::value).collect::<Result<Vec<_>, _>>()?, None),
        Value::Record(members) => record(members)?,
    })
}

/// A record.
pub(crate) fn record(members: &Record) -> Result<ast::Value, NotAValue> {
    let pairs = members.iter().map(|(name, member)| Ok((name.as_str(), value(member)?)));
    Ok(ast::Value::record(pairs.collect::<Result<Vec<_>, NotAValue>>()?, None))
}

/// A decimal, from ten-thousandths.
fn decimal(parts: i64) -> Result<ast::Value, NotAValue> {
    let sign = if parts < 0 { "-" } else { "" };
    let magnitude = parts.unsigned_abs();
    call(*DECIMAL, &[format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000).into()])
}

/// A moment, in milliseconds as Cedar counts them. Cedar makes one of text alone, and reading a date takes longer than
/// all else that a request needs; a duration is read in a fraction of that, and what is added to it is a number.
pub(crate) fn datetime(now: Timestamp) -> Result<ast::Value, NotAValue> {
    let since = format!("{}ms", now.as_microsecond().div_euclid(1_000));
    call(*OFFSET, &[EPOCH.clone()?, call(*DURATION, &[since.into()])?])
}

fn function(name: &str) -> Option<&'static ast::ExtensionFunction> {
    Extensions::all_available().func(&Name::parse_unqualified_name(name).ok()?).ok()
}

fn call(function: Option<&ast::ExtensionFunction>, arguments: &[ast::Value]) -> Result<ast::Value, NotAValue> {
    let function = function.ok_or_else(|| NotAValue(String::from("an extension function is missing")))?;
    let value = function.call(arguments).map_err(|error| NotAValue(error.to_string()))?;
    ast::Value::try_from(value).map_err(|error| NotAValue(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: i64, text: &str) {
        assert_eq!(decimal(parts).unwrap(), call(*DECIMAL, &[text.into()]).unwrap());
    }

    #[test]
    fn decimals_keep_their_sign_and_all_their_places() {
        check(0, "0.0");
        check(12_345, "1.2345");
        check(-1, "-0.0001");
        check(i64::MIN, "-922337203685477.5808");
        check(i64::MAX, "922337203685477.5807");
    }

    #[test]
    fn a_moment_is_what_its_text_says_to_the_millisecond() {
        let check = |now: &str, text: &str| {
            let expected = call(*DATETIME, &[text.into()]).unwrap();
            assert_eq!(datetime(now.parse().unwrap()).unwrap(), expected, "{now}");
        };
        check("2026-03-29T01:00:00.0015Z", "2026-03-29T01:00:00.001Z");
        check("2026-11-29T23:59:59.999999Z", "2026-11-29T23:59:59.999Z");
        check("1970-01-01T00:00:00Z", "1970-01-01");
        check("1969-12-31T23:59:59.9985Z", "1969-12-31T23:59:59.998Z");
        check("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z");
    }
}
