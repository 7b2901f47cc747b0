//! Strict JSON bodies: one value, every member once, bounded depth, unknown
//! members refused with the known ones named. Must not keep or log what it read.

use std::cell::Cell;

use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse as _, Response},
};
use bailiwick_model::limits::{BODY_BYTES_MAX, JSON_DEPTH_MAX};
use http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{limits::body_too_large, problem::Problem};

/// A body of `application/json`, read strictly; refusals are problem documents.
#[derive(Debug)]
pub struct StrictJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for StrictJson<T> {
    type Rejection = Response;

    async fn from_request(message: Request, _: &S) -> Result<Self, Response> {
        if !is_json(message.headers()) {
            let detail = "the body must be sent as `application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail).into_response());
        }
        let bytes = axum::body::to_bytes(message.into_body(), BODY_BYTES_MAX.saturating_mul(16))
            .await
            .map_err(|_| body_too_large(BODY_BYTES_MAX).into_response())?;
        read(&bytes).map(Self).map_err(|problem| problem.into_response())
    }
}

/// Whether the content type is `application/json` or `application/<something>+json`.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads one value of a known shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    check(bytes).map_err(|error| malformed(&error))?;
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

/// Reads one value of any shape, of at most so many values: it bounds the memory that they take once parsed.
pub fn read_value(bytes: &[u8], values_max: usize) -> Result<serde_json::Value, Problem> {
    check_at_most(bytes, values_max).map_err(|error| malformed(&error))?;
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

/// Checks syntax, depth and that every member stands once, without building anything.
pub fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    check_at_most(bytes, usize::MAX)
}

/// As [`check`], and counts: at most so many values, at every depth together.
pub fn check_at_most(bytes: &[u8], values_max: usize) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let values_left = Cell::new(values_max);
    Shape { depth_left: JSON_DEPTH_MAX, values_left: &values_left }.deserialize(&mut deserializer)?;
    deserializer.end()
}

fn malformed(error: &serde_json::Error) -> Problem {
    let detail = without_type_names(&error.to_string());
    let problem = Problem::new(StatusCode::BAD_REQUEST, "body_malformed", format!("the body cannot be read: {detail}"));
    match error.classify() {
        serde_json::error::Category::Data => problem.with_hint("`/api/v1/openapi.json` describes every body"),
        _ => problem,
    }
}

/// Serde says `expected struct Registration`: a caller knows objects, not our types.
fn without_type_names(message: &str) -> String {
    let mut words = message.split(' ');
    let mut plain: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "struct" | "map" => {
                plain.push("an object");
                if word == "struct" {
                    words.next();
                }
            }
            "enum" | "variant" => plain.push("a value of"),
            _ => plain.push(word),
        }
    }
    plain.join(" ")
}

struct Shape<'a> {
    depth_left: usize,
    values_left: &'a Cell<usize>,
}

impl Shape<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..*self }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let left = self.values_left.get().checked_sub(1);
        self.values_left.set(left.ok_or_else(|| D::Error::custom("it has too many values"))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        self.deeper::<A::Error>()?;
        while access.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut names = std::collections::HashSet::new();
        self.deeper::<A::Error>()?;
        while let Some(name) = access.next_key::<String>()? {
            if !names.insert(name) {
                access.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom("a member stands twice in one object"));
            }
            access.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Body {
        name: String,
    }

    fn detail(text: &str) -> String {
        read::<Body>(text.as_bytes()).unwrap_err().detail().to_owned()
    }

    #[test]
    fn refusals_name_what_is_wrong_and_no_type_of_ours() {
        assert!(read::<Body>(br#"{"name":"a"}"#).is_ok());
        assert!(detail(r#"{"name":"a","naem":"b"}"#).contains("unknown field `naem`, expected `name`"));
        assert!(detail(r#"{"name":"a","name":"b"}"#).contains("stands twice"));
        assert!(detail("{}").contains("missing field `name`"));
        let wrong = detail("3");
        assert!(wrong.contains("expected an object") && !wrong.contains("Body"), "{wrong}");
        assert!(read::<Body>(br#"{"name":"a"} {"name":"b"}"#).is_err());
    }

    #[test]
    fn depth_and_repeats_are_refused_anywhere() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(check(nested(JSON_DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(check(br#"{"a":[{"b":1,"\u0062":2}]}"#).is_err());
        assert!(check(br#"{"a":{"b":1},"c":{"b":2}}"#).is_ok());
    }

    #[test]
    fn values_are_counted_at_every_depth() {
        let body = br#"{"a":[1,{"b":null}],"c":"x"}"#;
        assert!(read_value(body, 6).is_ok());
        let refused = read_value(body, 5).unwrap_err();
        assert!(refused.detail().contains("too many values"), "{}", refused.detail());
    }
}
