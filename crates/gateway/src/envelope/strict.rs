//! Walks a JSON text and refuses what parsers disagree on: duplicate keys at
//! any level, lone surrogates, too much depth. Builds a value on the way if
//! asked to. Knows nothing of JSON-RPC.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{self, DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::Fault;

/// Keys with this prefix mean something to one JSON library and nothing to others.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// Refuses an ambiguous text.
pub(super) fn check(text: &str, depth_max: usize) -> Result<(), Fault> {
    walk(text, depth_max, None).map(drop)
}

/// Refuses an ambiguous text or one of more than `values_max` values, else gives its value.
pub(super) fn build(text: &str, depth_max: usize, values_max: usize) -> Result<Value, Fault> {
    walk(text, depth_max, Some(values_max))
}

fn walk(text: &str, depth_max: usize, values_max: Option<usize>) -> Result<Value, Fault> {
    let mut state = State { values_left: values_max };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Walk { depth_left: depth_max, state: &mut state }
        .deserialize(&mut deserializer)
        .map_err(|error| Fault::Ambiguous(plain(&error)))?;
    deserializer.end().map_err(|error| Fault::Syntax(plain(&error)))?;
    Ok(value)
}

/// The library's words, without the names of Rust types.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.replace("struct Outer", "an object").replace("RawValue", "value");
    text.chars().take(200).collect()
}

struct State {
    /// How many more values may be built; `None`: nothing is built.
    values_left: Option<usize>,
}

struct Walk<'s> {
    depth_left: usize,
    state: &'s mut State,
}

impl Walk<'_> {
    /// Counts a value; `true`: it is to be built.
    fn keep<E: de::Error>(&mut self) -> Result<bool, E> {
        match &mut self.state.values_left {
            None => Ok(false),
            Some(0) => Err(E::custom("the arguments hold too many values")),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
        }
    }

    fn scalar<E: de::Error>(mut self, value: impl FnOnce() -> Value) -> Result<Value, E> {
        Ok(if self.keep()? { value() } else { Value::Null })
    }

    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        self.depth_left.checked_sub(1).ok_or_else(|| E::custom("the message is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.scalar(|| Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(|| value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(|| value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(|| value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.scalar(|| value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.scalar(|| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let keep = self.keep()?;
        let mut array = Vec::new();
        while let Some(value) = elements.next_element_seed(Walk { depth_left, state: self.state })? {
            if keep {
                array.push(value);
            }
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let keep = self.keep()?;
        let mut seen = HashSet::new();
        let mut object = Map::new();
        while let Some(key) = members.next_key_seed(Key)? {
            if key.starts_with(RESERVED_PREFIX) {
                return Err(de::Error::custom("a key is reserved"));
            }
            let value = members.next_value_seed(Walk { depth_left, state: self.state })?;
            let new = if keep { object.insert(key.into_owned(), value).is_none() } else { seen.insert(key) };
            if !new {
                return Err(de::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// A key, borrowed where it holds no escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// The raw value of one member of a raw object.
pub(super) fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    struct Find<'k>(&'k str);
    impl<'de> Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = members.next_key_seed(Key)? {
                if key == self.0 {
                    found = Some(members.next_value()?);
                } else {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Find(key)).ok().flatten().map(RawValue::get)
}
