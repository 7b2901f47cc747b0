//! Strict JSON for headers, claims, keys and parameters: one object or array,
//! every member once, bounded in size and depth.
//!
//! An ordinary parser takes the last of two equal members; two parsers that
//! disagree about that are an attack (RFC 8725 §2.4), so here it is an error.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of one JSON object that these parsers take.
pub const OBJECT_BYTES_MAX: usize = 16 * 1_024;
/// Nesting of one JSON object that these parsers take. The deepest honest one is a chain of actors.
pub const OBJECT_DEPTH_MAX: usize = 16;

/// Text that is not one JSON object in the strict sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than this.
    #[error("the JSON has more than {0} bytes")]
    TooLarge(usize),
    /// Something other than an object.
    #[error("the JSON is not an object")]
    NotAnObject,
    /// Something other than an array.
    #[error("the JSON is not an array")]
    NotAnArray,
    /// Not JSON, too deep, or a member twice.
    #[error("the JSON is malformed: {0}")]
    Malformed(String),
}

/// Parses one object; refuses repeated members at any depth, trailing bytes and excess.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    parse_object_within(bytes, OBJECT_BYTES_MAX)
}

/// The same for a document that may have other bytes at most, such as somebody's key set.
pub fn parse_object_within(bytes: &[u8], bytes_max: usize) -> Result<Map<String, Value>, JsonError> {
    match parse(bytes, bytes_max)? {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::NotAnObject),
    }
}

/// The same of one array.
pub fn parse_array(bytes: &[u8]) -> Result<Vec<Value>, JsonError> {
    match parse(bytes, OBJECT_BYTES_MAX)? {
        Value::Array(elements) => Ok(elements),
        _ => Err(JsonError::NotAnArray),
    }
}

fn parse(bytes: &[u8], bytes_max: usize) -> Result<Value, JsonError> {
    if bytes.len() > bytes_max {
        return Err(JsonError::TooLarge(bytes_max));
    }
    let malformed = |error: serde_json::Error| JsonError::Malformed(error.to_string());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth_left: OBJECT_DEPTH_MAX }.deserialize(&mut deserializer).map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    Ok(value)
}

struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(Strict { depth_left })? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom("a member stands twice in one object"));
            }
            members.insert(name, access.next_value_seed(Strict { depth_left })?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_object() {
        let object = parse_object(br#" {"a": [1, -2, 2.5, true, null, {"b": "c"}]} "#).unwrap();
        assert_eq!(Value::Object(object), serde_json::json!({"a": [1, -2, 2.5, true, null, {"b": "c"}]}));
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for bad in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"x":{"y":[{"z":1,"z":1}]}}"#,
            r#"{"a":1}{"a":2}"#,
            r#"{"a":1} x"#,
            r#"{"a":1,}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            "{'a':1}",
            "[]",
            "\"text\"",
            "",
            "\u{feff}{}",
        ] {
            assert!(parse_object(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn refuses_size_and_depth() {
        let nested = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth), "1".to_owned() + &"}".repeat(depth));
        assert!(parse_object(nested(OBJECT_DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse_object(nested(OBJECT_DEPTH_MAX + 1).as_bytes()).is_err());
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(parse_object(long(OBJECT_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(parse_object(long(OBJECT_BYTES_MAX + 1).as_bytes()), Err(JsonError::TooLarge(OBJECT_BYTES_MAX)));
    }
}
