//! JSON bodies of the device door, field by field, with a problem that names the field.
//!
//! What is not JSON, a wrong JSON type, a doubled name or a text that is too long is 400, a value that is not allowed
//! 422, a missing one 422. Unknown fields are ignored: apps are older or newer than servers.

use serde_json::{Map, Value};
use tocsin_model::{ErrorCode, Problem};

use crate::strict_json::{self, NotStrictJson};

/// An object of a body, with the path to it.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    path: String,
}

/// Parses a body that must be one object.
pub(crate) fn parse_body(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    strict_json::parse_object(body).map_err(NotStrictJson::problem)
}

impl<'a> Fields<'a> {
    /// The fields of the body itself.
    pub(crate) fn of(members: &'a Map<String, Value>) -> Self {
        Self { members, path: String::new() }
    }

    /// The dotted path of `name`.
    fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// `400 invalid_request` for the field `name`.
    pub(crate) fn malformed(&self, name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(ErrorCode::InvalidRequest, detail.into()).with_field(self.path_to(name))
    }

    /// `422 invalid_field` for the field `name`.
    pub(crate) fn not_allowed(&self, name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(ErrorCode::InvalidField, detail.into()).with_field(self.path_to(name))
    }

    /// Whether the field stands there with a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// `null` is the same as nothing.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str) -> Result<&'a Value, Problem> {
        self.value(name).ok_or_else(|| {
            Problem::new(ErrorCode::FieldRequired, "this field is needed").with_field(self.path_to(name))
        })
    }

    /// A text of at most `bytes_max` bytes with no rule for its characters.
    pub(crate) fn raw_text(&self, name: &str, bytes_max: usize) -> Result<&'a str, Problem> {
        let text =
            self.required(name)?.as_str().ok_or_else(|| self.malformed(name, "this must be a string"))?;
        if text.len() > bytes_max {
            return Err(self.malformed(name, format!("this may have {bytes_max} bytes at most")));
        }
        Ok(text)
    }

    /// A text for people: 1 to `characters_max` characters that can be shown in a line.
    pub(crate) fn line(&self, name: &str, characters_max: usize) -> Result<Box<str>, Problem> {
        // A character has at most four bytes, so that a long text is refused before it is counted.
        let text = self.raw_text(name, characters_max * 4)?;
        if text.is_empty() {
            return Err(self.not_allowed(name, "this must not be empty"));
        }
        if text.chars().count() > characters_max {
            return Err(self.malformed(name, format!("this may have {characters_max} characters at most")));
        }
        if text.chars().any(spoils_a_line) {
            return Err(self.not_allowed(name, "this must not hold control characters"));
        }
        Ok(text.into())
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Result<Fields<'a>, Problem> {
        let members = self.required(name)?.as_object();
        let members = members.ok_or_else(|| self.malformed(name, "this must be an object"))?;
        Ok(Fields { members, path: self.path_to(name) })
    }

    /// The members of an object, for a reader of its own.
    pub(crate) fn members(&self) -> &'a Map<String, Value> {
        self.members
    }

    /// An array of at most `items_max`.
    pub(crate) fn array(&self, name: &str, items_max: usize) -> Result<&'a [Value], Problem> {
        let items = self.required(name)?.as_array();
        let items = items.ok_or_else(|| self.malformed(name, "this must be an array"))?;
        if items.len() > items_max {
            return Err(self.malformed(name, format!("this may have {items_max} items at most")));
        }
        Ok(items)
    }

    /// The `index`th item of the array `name`, which must be an object.
    pub(crate) fn item(&self, name: &str, index: usize, item: &'a Value) -> Result<Fields<'a>, Problem> {
        let name = format!("{name}[{index}]");
        let members = item.as_object().ok_or_else(|| self.malformed(&name, "this must be an object"))?;
        Ok(Fields { members, path: self.path_to(&name) })
    }
}

/// Whether a text can be shown in a line of a list.
pub fn is_line(text: &str) -> bool {
    !text.chars().any(spoils_a_line)
}

/// Control characters, line separators, and the marks that turn the direction of what follows: with them a name
/// in a list could hide or rewrite its neighbours.
pub(crate) fn spoils_a_line(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
