//! JSON in which one name stands once.
//!
//! Two parsers that disagree about which of two equal names counts are how a checked text differs from a used
//! one (RFC 8725, section 2.4; RFC 8259, section 4), so that a doubled name is refused at every depth. Depth is
//! bounded by the parser (128).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The bytes are not one JSON value, or a name stands twice in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotStrictJson;

/// Parses exactly one JSON value.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, NotStrictJson> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut deserializer).map_err(|_| NotStrictJson)?;
    deserializer.end().map_err(|_| NotStrictJson)?;
    Ok(value)
}

/// Parses exactly one JSON object.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrictJson> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(NotStrictJson)
        }
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without doubled names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_doubled_name_is_refused_at_every_depth_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"a":2}}]"#,
            r#"{"a":1} "#.trim_end().repeat(2).as_str(),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(NotStrictJson), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(10_000);
        for text in ["", "{", "nul", "{}x", "{\"a\":1,}", "\"\\ud800\"", "1e999", deep.as_str()] {
            assert_eq!(parse(text.as_bytes()), Err(NotStrictJson), "{}", &text[..text.len().min(20)]);
        }
        assert_eq!(parse(b"\"\xff\""), Err(NotStrictJson));
        assert_eq!(parse_object(b"[]"), Err(NotStrictJson));
    }

    proptest! {
        #[test]
        fn it_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let strict = parse(&bytes);
            let plain = serde_json::from_slice::<Value>(&bytes);
            prop_assert!(strict.is_err() || plain.is_ok());
        }

        #[test]
        fn it_agrees_with_plain_json_without_doubled_names(names in proptest::collection::hash_set("[a-z]{1,3}", 0..8)) {
            let object: Map<String, Value> = names.into_iter().map(|name| (name, Value::from(1.5))).collect();
            let value = Value::Object(object);
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }
    }
}
