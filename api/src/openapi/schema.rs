//! Schemas (JSON Schema 2020-12, the dialect of OpenAPI 3.1): of replies, derived from their types; of requests, from
//! the limits that their readers hold.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The named schemas of one document, as they are gathered.
pub(crate) struct Schemas(SchemaGenerator);

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(NeverNull);
        Self(
            settings
                .with(|settings| settings.definitions_path = "/components/schemas".into())
                .into_generator(),
        )
    }

    /// The schema of a reply, as a reference to the named one.
    pub(crate) fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    /// All that were named.
    pub(super) fn into_named(mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}

/// A schema without a name, for use in requests.
pub(crate) fn fixed(schema: fn(&mut SchemaGenerator) -> Schema) -> Value {
    schema(&mut SchemaGenerator::default()).to_value()
}

/// No reply holds null: a member without a value is left out.
#[derive(Clone)]
struct NeverNull;

impl Transform for NeverNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(members) = schema.as_object_mut() else { return };
        if let Some(Value::Array(types)) = members.get_mut("type") {
            types.retain(|word| word != "null");
            if let [only] = &types[..] {
                let only = only.clone();
                members.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
            choices.retain(|choice| *choice != json!({"type": "null"}));
            if let [Value::Object(only)] = &choices[..] {
                let only = only.clone();
                members.remove("anyOf");
                members.extend(only);
            }
        }
    }
}

/// A text in one line.
pub(crate) fn one_line(characters_max: usize, description: &str) -> Value {
    text(characters_max, description, ONE_LINE)
}

/// A text that may have line breaks and tabs.
pub(crate) fn text_lines(characters_max: usize, description: &str) -> Value {
    text(characters_max, description, LINES)
}

const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$";
const LINES: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$";

fn text(characters_max: usize, description: &str, pattern: &str) -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": characters_max,
        "pattern": pattern,
        "description": description,
    })
}
