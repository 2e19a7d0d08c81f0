//! The claims of a JWS, and the members of its header: the texts and numbers of one JSON object, all in one place.
//!
//! As strict as [`strict_json`]: a name that stands twice is refused at every depth. What is neither a text nor a number
//! is checked and dropped, since no claim of ours is.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use tocsin_model::UnixMs;

use crate::strict_json;

/// Latest `iat` that is taken for a time: the end of the year 9999, in seconds.
const NUMERIC_DATE_MAX_S: f64 = 253_402_300_799.0;

/// What an object says; a member of the wrong JSON type counts as missing.
#[derive(Clone)]
pub(crate) struct Claims {
    /// Names and texts, one behind the other.
    letters: String,
    members: Vec<Member>,
}

#[derive(Clone)]
struct Member {
    name: Range<usize>,
    value: Leaf,
}

#[derive(Clone)]
enum Leaf {
    Text(Range<usize>),
    Number(f64),
    Other,
}

impl Claims {
    /// Reads exactly one JSON object; `None` for anything else, and where a name stands twice.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let mut claims = Self { letters: String::with_capacity(json.len()), members: Vec::new() };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        deserializer.deserialize_map(Members(&mut claims)).and_then(|()| deserializer.end()).ok()?;
        (!claims.has_a_name_twice()).then_some(claims)
    }

    /// Whether there is such a member, of any type.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Leaf::Text(range) => Some(&self.letters[range.clone()]),
            Leaf::Number(_) | Leaf::Other => None,
        }
    }

    /// A `NumericDate` (RFC 7519, section 2): seconds since 1970, with fractions, rounded to milliseconds.
    pub(crate) fn numeric_date(&self, name: &str) -> Option<UnixMs> {
        let seconds = match self.member(name)? {
            Leaf::Number(seconds) => *seconds,
            Leaf::Text(_) | Leaf::Other => return None,
        };
        if !(0.0..=NUMERIC_DATE_MAX_S).contains(&seconds) {
            return None;
        }
        // In range and not negative, so that the cast loses nothing but the fraction of a millisecond.
        Some(UnixMs::new((seconds * 1_000.0).round() as u64))
    }

    fn member(&self, name: &str) -> Option<&Leaf> {
        self.members
            .iter()
            .find(|member| self.letters[member.name.clone()] == *name)
            .map(|member| &member.value)
    }

    fn has_a_name_twice(&self) -> bool {
        let mut names: Vec<&str> =
            self.members.iter().map(|member| &self.letters[member.name.clone()]).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// Reads the members of the object.
struct Members<'c>(&'c mut Claims);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Claims { letters, members: read } = self.0;
        while let Some(name) = members.next_key_seed(Letters(letters))? {
            let value = members.next_value_seed(Value(letters))?;
            read.push(Member { name, value });
        }
        Ok(())
    }
}

/// Reads a text behind the others.
struct Letters<'c>(&'c mut String);

impl Letters<'_> {
    fn append(self, text: &str) -> Range<usize> {
        let begin = self.0.len();
        self.0.push_str(text);
        begin..self.0.len()
    }
}

impl<'de> DeserializeSeed<'de> for Letters<'_> {
    type Value = Range<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Range<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Letters<'_> {
    type Value = Range<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Range<usize>, E> {
        Ok(self.append(text))
    }
}

/// Reads the value of a member.
struct Value<'c>(&'c mut String);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Leaf;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Leaf, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Leaf;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without doubled names")
    }

    fn visit_unit<E>(self) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Leaf, E> {
        Ok(Leaf::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Leaf, E> {
        Ok(Leaf::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Leaf, E> {
        Ok(Leaf::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Leaf, E> {
        Ok(Leaf::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Leaf, E> {
        Ok(Leaf::Text(Letters(self.0).append(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Leaf, A::Error> {
        strict_json::check_items(items).map(|()| Leaf::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Leaf, A::Error> {
        strict_json::check_members(members).map(|()| Leaf::Other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`strict_json`] makes of it, the slow way.
    fn agrees(json: &[u8]) -> Result<(), TestCaseError> {
        let slow = strict_json::parse_object(json).ok();
        let claims = Claims::parse(json);
        prop_assert_eq!(claims.is_some(), slow.is_some());
        for (name, value) in slow.into_iter().flatten() {
            let claims = claims.as_ref().expect("both have it");
            prop_assert!(claims.has(&name));
            prop_assert_eq!(claims.text(&name), value.as_str());
            let is_time = value.as_f64().is_some_and(|seconds| (0.0..=NUMERIC_DATE_MAX_S).contains(&seconds));
            prop_assert_eq!(claims.numeric_date(&name).is_some(), is_time);
        }
        Ok(())
    }

    #[test]
    fn it_reads_what_the_strict_parser_reads_and_refuses_what_that_refuses() {
        for json in [
            "{}",
            r#" {"a":"x","b":1,"c":1.5,"d":-1,"e":null,"f":true,"g":[1,{"h":2}],"i":{"h":"x"}} "#,
            r#"{"a":"\u0061\n\"","\u0062":"ä"}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"b":1,"a":1,"\u0062":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"a":1}{"b":1}"#,
            r#"{"a":1e400}"#,
            r#"{"a":253402300799.5,"b":253402300799,"c":18446744073709551615}"#,
            r#"{"a":1"#,
            "[]",
            "\"a\"",
            "",
        ] {
            agrees(json.as_bytes()).expect(json);
        }
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        agrees(deep.as_bytes()).expect("deep");
        assert!(Claims::parse(b"{}").is_some());
    }

    proptest! {
        #[test]
        fn it_agrees_on_any_text(json in r#"\{("[ab]{0,2}":("[ab\\n]{0,3}"|-?[0-9.e]{1,6}|\{"a":1(,"a":2)?\}|null),?){0,4}\}?"#) {
            agrees(json.as_bytes())?;
        }

        #[test]
        fn it_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            agrees(&bytes)?;
        }
    }
}
