//! Holds every reply that a test is given against the document of its door: its status, its media type, its headers,
//! and its body to the last member.

use std::sync::OnceLock;

use hyper::header::HeaderMap;
use serde_json::{Map, Value};
use tocsin_api::door::DoorName;
use tocsin_api::openapi;

/// The document of the door that has this path.
pub fn document(path: &str) -> &'static Value {
    static DOCUMENTS: OnceLock<[Value; 3]> = OnceLock::new();
    let parsed = |door| serde_json::from_str(&openapi::text(door)).expect("JSON");
    let [portal, device, ops] = DOCUMENTS.get_or_init(|| DoorName::ALL.map(parsed));
    let is_ops =
        ["/v1/admin/", "/healthz", "/readyz", "/metrics"].iter().any(|begin| path.starts_with(begin));
    match () {
        () if is_ops => ops,
        () if path.starts_with("/device/") || path.starts_with("/hooks/") => device,
        () => portal,
    }
}

/// Panics unless the document of the door has this reply.
#[track_caller]
pub fn hold(method: &str, path: &str, status: u16, headers: &HeaderMap, text: &str) {
    let path = path.split('?').next().expect("a path");
    let document = document(path);
    let Some(operation) = operation(document, method, path) else {
        assert!(matches!(status, 403..=405 | 401 | 429 | 431 | 503), "{method} {path}: {status} {text}");
        return;
    };
    let reply = resolved(document, &operation["responses"][status.to_string()]);
    assert!(reply.is_object(), "{method} {path}: {status} is not documented: {text}");
    for (name, header) in reply["headers"].as_object().into_iter().flatten() {
        let required = resolved(document, header)["required"] == true;
        assert!(!required || headers.contains_key(name), "{method} {path}: {status} without {name}");
    }
    if method == "HEAD" {
        return;
    }
    let media_type = headers.get("content-type").map(|value| value.to_str().expect("visible"));
    let media_type = media_type.map(|value| value.split(';').next().expect("a type").to_owned());
    let Some(media_type) = media_type.filter(|_| !text.is_empty()) else {
        assert!(reply.get("content").is_none() || status == 200, "{method} {path}: {status} is empty");
        return;
    };
    let schema = &reply["content"][&media_type]["schema"];
    assert!(!schema.is_null(), "{method} {path}: {status} in {media_type} is not documented: {text}");
    if media_type.ends_with("json") {
        let value = serde_json::from_str(text).expect("JSON");
        if let Err(why) = (Judge { document }).judge(schema, &value, "body") {
            panic!("{method} {path}: {status}: {why}\n{text}");
        }
    }
}

fn operation<'d>(document: &'d Value, method: &str, path: &str) -> Option<&'d Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    let paths = document["paths"].as_object().expect("paths");
    let (_, item) = paths.iter().find(|(template, _)| fits(template))?;
    item.get(method.to_ascii_lowercase())
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("what is referred to"),
        None => value,
    }
}

/// Judges values by schemas, as far as our documents use them. Members that no schema names are refused, although
/// clients must ignore them: what a door sends, its document tells.
struct Judge<'d> {
    document: &'d Value,
}

impl Judge<'_> {
    fn judge(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        if schema.get("$ref").is_some() {
            self.judge(resolved(self.document, schema), value, place)?;
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.judge(part, value, place)?;
        }
        let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
        if schema.get("const").is_some_and(|wanted| wanted != value) {
            return wrong("not the value");
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            return wrong("not one of the words");
        }
        if schema.get("type").is_some_and(|kind| !is_of(kind.as_str().unwrap_or_default(), value)) {
            return wrong("of another type");
        }
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            // What a choice names counts as named.
            let fits = |choice: &&Value| self.judge(&merged(schema, choice), value, place).is_ok();
            return if choices.iter().any(|choice| fits(&choice)) { Ok(()) } else { wrong("no choice fits") };
        }
        match value {
            Value::Object(members) => self.judge_members(schema, members, place),
            Value::Array(items) => {
                let wanted = &schema["items"];
                items.iter().enumerate().try_for_each(|(index, item)| {
                    if wanted.is_null() {
                        Ok(())
                    } else {
                        self.judge(wanted, item, &format!("{place}[{index}]"))
                    }
                })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn judge_members(&self, schema: &Value, members: &Map<String, Value>, place: &str) -> Result<(), String> {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return Err(format!("{place}: no {name}"));
            }
        }
        let is_closed = schema["type"] == "object" && schema.get("properties").is_some();
        for (name, member) in members {
            let place = format!("{place}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(named), _) => self.judge(named, member, &place)?,
                (None, Some(more)) if more.is_object() => self.judge(more, member, &place)?,
                (None, _) if is_closed => return Err(format!("{place}: not documented")),
                (None, _) => {}
            }
        }
        Ok(())
    }
}

/// A schema with one of its choices taken.
fn merged(schema: &Value, choice: &Value) -> Value {
    let mut whole = schema.clone();
    let members = whole.as_object_mut().expect("a schema");
    members.remove("oneOf");
    members.remove("anyOf");
    for (key, value) in choice.as_object().into_iter().flatten() {
        match (members.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more.iter().cloned()),
            _ => {
                members.insert(key.clone(), value.clone());
            }
        }
    }
    whole
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    }
}
