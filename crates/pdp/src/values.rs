//! Our values as Cedar's. Total: what Cedar cannot hold is an error, never a guess.

use std::sync::LazyLock;

use bailiwick_model::value::{Record, Value};
use cedar_policy_core::{
    ast::{self, Name, RestrictedExpr},
    evaluator::RestrictedEvaluator,
    extensions::Extensions,
};
use jiff::Timestamp;

/// A value that Cedar cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAValue(String);

static DECIMAL: LazyLock<Option<Name>> = LazyLock::new(|| Name::parse_unqualified_name("decimal").ok());
static DATETIME: LazyLock<Option<Name>> = LazyLock::new(|| Name::parse_unqualified_name("datetime").ok());

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
    extension(DECIMAL.as_ref(), format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000))
}

/// A moment, in milliseconds as Cedar counts them.
pub(crate) fn datetime(now: Timestamp) -> Result<ast::Value, NotAValue> {
    let utc = now.to_zoned(jiff::tz::TimeZone::UTC);
    extension(DATETIME.as_ref(), utc.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

fn extension(function: Option<&Name>, text: String) -> Result<ast::Value, NotAValue> {
    let function = function.ok_or_else(|| NotAValue(String::from("an extension type is missing")))?.clone();
    let call = RestrictedExpr::call_extension_fn(function, [RestrictedExpr::val(text)]);
    let evaluator = RestrictedEvaluator::new(Extensions::all_available());
    evaluator.interpret(call.as_borrowed()).map_err(|error| NotAValue(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: i64, text: &str) {
        let expected = extension(DECIMAL.as_ref(), text.to_owned()).unwrap();
        assert_eq!(decimal(parts).unwrap(), expected);
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
    fn a_moment_keeps_its_milliseconds() {
        let value = datetime("2026-03-29T01:00:00.0015Z".parse().unwrap()).unwrap();
        assert_eq!(value, extension(DATETIME.as_ref(), "2026-03-29T01:00:00.001Z".into()).unwrap());
    }
}
