//! JSON in which one name stands once.
//!
//! Two parsers that disagree about which of two equal names counts are how a checked text differs from a used
//! one (RFC 8725, section 2.4; RFC 8259, section 4), so that a doubled name is refused at every depth. Depth is
//! bounded by the parser (128).

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use tocsin_model::{ErrorCode, Problem};

/// The field of a problem that is about the body as a whole.
const WHOLE: &str = "body";

/// Longest path that is told back, in bytes; a longer one is not a field of ours.
const FIELD_BYTES_MAX: usize = 200;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// The bytes are not one JSON value.
    NotJson,
    /// A name stands twice in an object.
    DoubledName,
    /// It is another value than an object.
    NotObject,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStrictJson {
    /// What is wrong.
    pub fault: JsonFault,
    /// Where reading stopped, as a dotted path (`details[0].label`); empty for the value as a whole.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl NotStrictJson {
    /// 400 `invalid_request` for a body that should have been one object, with where reading stopped.
    pub fn problem(self) -> Problem {
        let detail = match self.fault {
            JsonFault::NotJson => "this is not JSON",
            JsonFault::DoubledName => "a name stands twice in an object",
            JsonFault::NotObject => "the body must be one JSON object",
        };
        let detail = format!("{detail}; line {}, column {}", self.line, self.column);
        Problem::new(ErrorCode::InvalidRequest, detail).with_field(tellable(self.path))
    }
}

/// The path of a field as callers are told it: `body` where it is none that could be ours.
pub fn tellable(path: String) -> String {
    let is_ours = !path.is_empty() && path.len() <= FIELD_BYTES_MAX && !path.chars().any(char::is_control);
    if is_ours { path } else { WHOLE.to_owned() }
}

/// Parses exactly one JSON value.
pub fn parse(bytes: &[u8]) -> Result<Value, NotStrictJson> {
    let path = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict(&path).deserialize(&mut deserializer);
    let parsed = parsed.and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| NotStrictJson {
        fault: if error.is_data() { JsonFault::DoubledName } else { JsonFault::NotJson },
        path: dotted(path.into_inner()),
        line: error.line(),
        column: error.column(),
    })
}

/// Parses exactly one JSON object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrictJson> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(NotStrictJson { fault: JsonFault::NotObject, path: String::new(), line: 1, column: 1 })
        }
    }
}

/// Reads the items of an array for their form alone.
pub(crate) fn check_items<'de, A: SeqAccess<'de>>(items: A) -> Result<(), A::Error> {
    Strict(&RefCell::default()).visit_seq(items).map(drop)
}

/// Reads the members of an object for their form alone.
pub(crate) fn check_members<'de, A: MapAccess<'de>>(members: A) -> Result<(), A::Error> {
    Strict(&RefCell::default()).visit_map(members).map(drop)
}

/// A step from a value into what it holds.
enum Step {
    Member(String),
    Item(usize),
}

/// The steps from the innermost to the outermost, as a text.
fn dotted(path: Vec<Step>) -> String {
    let mut text = String::new();
    for step in path.into_iter().rev() {
        match step {
            Step::Item(index) => text.push_str(&format!("[{index}]")),
            Step::Member(name) if text.is_empty() => text.push_str(&name),
            Step::Member(name) => text.push_str(&format!(".{name}")),
        }
    }
    text
}

/// Reads any value. Where reading fails, each value on the way out adds its step to the path, so that one that can be
/// read costs nothing for it.
#[derive(Clone, Copy)]
struct Strict<'p>(&'p RefCell<Vec<Step>>);

impl Strict<'_> {
    fn left(self, step: Step) {
        self.0.borrow_mut().push(step);
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        loop {
            match items.next_element_seed(self) {
                Ok(Some(item)) => array.push(item),
                Ok(None) => return Ok(Value::Array(array)),
                Err(error) => {
                    self.left(Step::Item(array.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                self.left(Step::Member(name));
                return Err(A::Error::custom("a name stands twice"));
            }
            match members.next_value_seed(self) {
                Ok(value) => object.insert(name, value),
                Err(error) => {
                    self.left(Step::Member(name));
                    return Err(error);
                }
            };
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
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(10_000);
        for text in ["", "{", "nul", "{}x", "{\"a\":1,}", "\"\\ud800\"", "1e999", deep.as_str()] {
            assert!(parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(20)]);
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert_eq!(parse_object(b"[]").map_err(|wrong| wrong.fault), Err(JsonFault::NotObject));
    }

    #[test]
    fn a_refusal_says_where() {
        let wrong = parse(b"{\"a\":[{},\n{\"b\":1,\"b\":2}]}").expect_err("doubled");
        assert_eq!((wrong.path.as_str(), wrong.fault, wrong.line), ("a[1].b", JsonFault::DoubledName, 2));
        let wrong = parse(b"{\"a\":[1,x]}").expect_err("no JSON");
        assert_eq!((wrong.path.as_str(), wrong.fault), ("a[1]", JsonFault::NotJson));
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
