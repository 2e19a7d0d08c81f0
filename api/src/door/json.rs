//! Strict JSON bodies: one name stands once, no unknown fields, and every problem names its field as a dotted path
//! (`details[0].label`), or `body` where it is about the body as a whole.

use serde_json::{Map, Value};
use tocsin_engine::strict_json::{self, NotStrictJson, tellable};
use tocsin_model::{ErrorCode, Problem};

use super::form;

/// Parses exactly one JSON object.
pub(crate) fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    strict_json::parse_object(body).map_err(NotStrictJson::problem)
}

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// The fields of a body. They may hold a secret, so it has no debug print.
pub(crate) struct Body {
    members: Map<String, Value>,
    coding: Coding,
}

impl Body {
    /// Parses a body.
    pub(crate) fn parse(bytes: &[u8], coding: Coding) -> Result<Self, Problem> {
        let members = match coding {
            Coding::Json => parse_object(bytes)?,
            Coding::Form => form::parse(bytes)?,
        };
        Ok(Self { members, coding })
    }

    /// Its fields.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { members: &self.members, path: String::new(), coding: self.coding }
    }

    /// Takes a field of a form out of it.
    pub(crate) fn take_of_form(&mut self, name: &str) -> Option<String> {
        if self.coding == Coding::Json {
            return None;
        }
        match self.members.remove(name)? {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// An object of a body, with the path to it.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    path: String,
    coding: Coding,
}

impl<'a> Fields<'a> {
    /// The fields of a JSON object.
    pub(crate) fn of(members: &'a Map<String, Value>) -> Self {
        Self { members, path: String::new(), coding: Coding::Json }
    }

    /// The members in the order of their names.
    pub(crate) fn members(&self) -> &'a Map<String, Value> {
        self.members
    }

    /// 400 `unknown_field` for a member that is none of `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let detail = "this call does not have this field in this version; nothing was done";
                Err(Problem::new(ErrorCode::UnknownField, detail).with_field(tellable(self.path_to(name))))
            }
        }
    }

    fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// 400 `invalid_request` for the field `name`: a wrong JSON type.
    pub(crate) fn malformed(&self, name: &str, detail: &'static str) -> Problem {
        Problem::new(ErrorCode::InvalidRequest, detail).with_field(self.path_to(name))
    }

    /// 422 `invalid_field` for the field `name`: a value that is not allowed.
    pub(crate) fn not_allowed(&self, name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(ErrorCode::InvalidField, detail.into()).with_field(self.path_to(name))
    }

    /// 422 `field_required` for the field `name`.
    pub(crate) fn missing(&self, name: &str) -> Problem {
        Problem::new(ErrorCode::FieldRequired, "this field is needed").with_field(self.path_to(name))
    }

    /// A value of any type.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.malformed(name, "this must be a string"))
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<&'a str, Problem> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number that is not negative.
    pub(crate) fn whole_number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value {
            Value::String(digits) if self.coding == Coding::Form => {
                self.number_of_form(name, digits).map(Some)
            }
            Value::Number(number) if number.is_f64() => {
                Err(self.malformed(name, "this must be a whole number, written without fraction or exponent"))
            }
            Value::Number(number) => {
                number.as_u64().map(Some).ok_or_else(|| self.not_allowed(name, "this must not be negative"))
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                Err(self.malformed(name, "this must be a number"))
            }
        }
    }

    fn number_of_form(&self, name: &str, digits: &str) -> Result<u64, Problem> {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.malformed(name, "this must be a whole number, written in digits"));
        }
        digits.parse().map_err(|_| self.not_allowed(name, "this number is too large"))
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let members = value.as_object().ok_or_else(|| self.malformed(name, "this must be an object"))?;
        Ok(Some(Fields { members, path: self.path_to(name), coding: self.coding }))
    }

    /// An array of strings.
    pub(crate) fn words(&self, name: &str) -> Result<Option<Vec<&'a str>>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.malformed(name, "this must be an array"))?;
        let word = |(index, item): (usize, &'a Value)| {
            item.as_str().ok_or_else(|| self.malformed(&format!("{name}[{index}]"), "this must be a string"))
        };
        items.iter().enumerate().map(word).collect::<Result<_, _>>().map(Some)
    }

    /// An array of objects.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Fields<'a>>, Problem> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| self.malformed(name, "this must be an array"))?;
        let object = |(index, item): (usize, &'a Value)| {
            let name = format!("{name}[{index}]");
            let members = item.as_object().ok_or_else(|| self.malformed(&name, "this must be an object"))?;
            Ok(Fields { members, path: self.path_to(&name), coding: self.coding })
        };
        items.iter().enumerate().map(object).collect()
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
