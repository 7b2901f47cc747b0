//! Typed reading of a token's claims. A claim of the wrong JSON type is an
//! error and never counts as absent.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Seconds that two honest clocks may differ.
pub const CLOCK_SKEW_S: i64 = 60;

/// A moment so many seconds later, or the last moment there is.
pub(crate) fn later(moment: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(moment.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}

/// A claim that is missing or not of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is not there.
    #[error("claim `{0}` is missing")]
    Missing(&'static str),
    /// It is there and cannot be used.
    #[error("claim `{name}` is not {expected}")]
    Unfit {
        /// Which.
        name: &'static str,
        /// What it should be, with its article.
        expected: &'static str,
    },
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Takes a parsed object.
    pub const fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// All claims as they stand.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The names of all claims.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A claim as it stands.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text that may be absent.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<&str>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ClaimError::Unfit { name, expected: "a string" }),
        }
    }

    /// A text that must be there.
    pub fn text(&self, name: &'static str) -> Result<&str, ClaimError> {
        self.optional_text(name)?.ok_or(ClaimError::Missing(name))
    }

    /// A text that must be there and be of a type of ours.
    pub fn parsed<T: std::str::FromStr>(&self, name: &'static str, expected: &'static str) -> Result<T, ClaimError> {
        self.text(name)?.parse().map_err(|_| ClaimError::Unfit { name, expected })
    }

    /// A text that may be absent and else must be of a type of ours.
    pub fn optional_parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ClaimError> {
        self.optional_text(name)?.map(|text| text.parse().map_err(|_| ClaimError::Unfit { name, expected })).transpose()
    }

    /// A `NumericDate` (RFC 7519 §2) that may be absent; fractions of a second are cut off.
    pub fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>, ClaimError> {
        let unfit = || ClaimError::Unfit { name, expected: "a number of seconds since 1970" };
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let seconds = number.as_i64().or_else(|| number.as_f64().and_then(whole)).ok_or_else(unfit)?;
                Timestamp::from_second(seconds).map(Some).map_err(|_| unfit())
            }
            Some(_) => Err(unfit()),
        }
    }

    /// A `NumericDate` that must be there.
    pub fn time(&self, name: &'static str) -> Result<Timestamp, ClaimError> {
        self.optional_time(name)?.ok_or(ClaimError::Missing(name))
    }

    /// `aud`, which must name exactly one audience: a string, or an array of one string.
    pub fn sole_audience(&self) -> Result<&str, ClaimError> {
        let unfit = ClaimError::Unfit { name: "aud", expected: "exactly one audience" };
        match self.0.get("aud") {
            None => Err(ClaimError::Missing("aud")),
            Some(Value::String(text)) => Ok(text),
            Some(Value::Array(elements)) => match elements.as_slice() {
                [Value::String(text)] => Ok(text),
                _ => Err(unfit),
            },
            Some(_) => Err(unfit),
        }
    }
}

/// The whole seconds of a number that an `i64` holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53 the whole part fits")]
    (number.abs() <= EXACT_MAX).then(|| number.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: serde_json::Value) -> Claims {
        Claims::new(json.as_object().cloned().unwrap())
    }

    #[test]
    fn times_are_numbers_only() {
        let read = |value: serde_json::Value| claims(serde_json::json!({ "exp": value })).time("exp");
        let second = |s| Timestamp::from_second(s).unwrap();
        assert_eq!(read(serde_json::json!(1_700_000_000)), Ok(second(1_700_000_000)));
        assert_eq!(read(serde_json::json!(1_700_000_000.9)), Ok(second(1_700_000_000)));
        for bad in [
            serde_json::json!("1700000000"),
            serde_json::json!(null),
            serde_json::json!(true),
            serde_json::json!([1]),
            serde_json::json!(1e300),
            serde_json::json!(u64::MAX),
            serde_json::json!(i64::MIN),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_audience_is_one() {
        let read =
            |value: serde_json::Value| claims(serde_json::json!({ "aud": value })).sole_audience().map(str::to_owned);
        assert_eq!(read(serde_json::json!("a")), Ok("a".to_owned()));
        assert_eq!(read(serde_json::json!(["a"])), Ok("a".to_owned()));
        for bad in
            [serde_json::json!(["a", "b"]), serde_json::json!([]), serde_json::json!([1]), serde_json::json!(null)]
        {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
