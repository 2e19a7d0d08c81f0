//! One call as the document tells it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tocsin_model::ErrorCode;

use crate::door::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};

/// The media type of problems.
const PROBLEM: &str = "application/problem+json";

/// A reply of a call that worked.
struct Reply {
    description: &'static str,
    /// `None` for a reply without a body.
    content: Option<(&'static str, Value)>,
    /// Names among the document's headers.
    headers: Vec<&'static str>,
}

/// One call, as it is put together.
pub(crate) struct Operation {
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    /// Each a way to authenticate, by schemes that go together; none for a call that everybody may make.
    security: Vec<&'static [&'static str]>,
    parameters: Vec<Value>,
    bodies: Map<String, Value>,
    body_is_required: bool,
    replies: BTreeMap<u16, Reply>,
    codes: Vec<ErrorCode>,
}

impl Operation {
    /// A call with a name that generated clients use, and one sentence about it.
    pub(crate) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            description: "",
            security: Vec::new(),
            parameters: Vec::new(),
            bodies: Map::new(),
            body_is_required: true,
            replies: BTreeMap::new(),
            codes: EVERYWHERE.to_vec(),
        }
    }

    /// More than one sentence about it.
    pub(crate) fn telling(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// One more way to authenticate, by schemes that go together.
    pub(crate) fn secured_by(mut self, schemes: &'static [&'static str]) -> Self {
        self.security.push(schemes);
        self
    }

    /// A part of the path that varies.
    pub(crate) fn path(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("path", name, true, schema, description)
    }

    /// A parameter of the query that may be left out.
    pub(crate) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, false, schema, description)
    }

    /// A parameter of the query that must be there.
    pub(crate) fn required_query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, true, schema, description)
    }

    /// A header of the request that may be left out.
    pub(crate) fn header(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("header", name, false, schema, description)
    }

    /// A list in pages.
    pub(crate) fn in_pages(self) -> Self {
        let limit = json!({
            "type": "integer",
            "minimum": 1,
            "maximum": PAGE_LIMIT_MAX,
            "default": PAGE_LIMIT_DEFAULT,
        });
        let cursor = "The `next_cursor` of the page before, of the same list.";
        self.query("limit", limit, "Items of a page.")
            .query("cursor", json!({"type": "string"}), cursor)
            .refused_with(&[ErrorCode::InvalidField])
    }

    fn parameter(
        mut self,
        place: &str,
        name: &str,
        required: bool,
        schema: Value,
        description: &str,
    ) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": place,
            "required": required,
            "description": description,
            "schema": schema,
        }));
        self
    }

    /// A JSON body.
    pub(crate) fn json(self, schema: Value) -> Self {
        self.body("application/json", schema).refused_with(OF_BODIES)
    }

    /// A JSON body that may be left out.
    pub(crate) fn optional_json(mut self, schema: Value) -> Self {
        self.body_is_required = false;
        self.json(schema)
    }

    /// A body that says nothing and may be left out: an empty object, whatever it is called.
    pub(crate) fn without_fields(mut self) -> Self {
        self.body_is_required = false;
        let nothing = json!({"type": "object", "additionalProperties": false, "properties": {}});
        self.body("application/json", nothing).refused_with(&[
            ErrorCode::InvalidRequest,
            ErrorCode::UnknownField,
            ErrorCode::BodyTooLarge,
        ])
    }

    /// The same body as a form.
    pub(crate) fn form(self, schema: Value) -> Self {
        self.body("application/x-www-form-urlencoded", schema)
    }

    fn body(mut self, media_type: &str, schema: Value) -> Self {
        self.bodies.insert(media_type.to_owned(), json!({"schema": schema}));
        self
    }

    /// A reply in JSON.
    pub(crate) fn replies(self, status: u16, description: &'static str, schema: Value) -> Self {
        self.replies_with(status, description, "application/json", schema)
    }

    /// A reply of another media type.
    pub(crate) fn replies_with(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &'static str,
        schema: Value,
    ) -> Self {
        let headers = vec!["x-request-id"];
        self.replies.insert(status, Reply { description, content: Some((media_type, schema)), headers });
        self
    }

    /// A reply without a body.
    pub(crate) fn replies_empty(mut self, status: u16, description: &'static str) -> Self {
        self.replies.insert(status, Reply { description, content: None, headers: vec!["x-request-id"] });
        self
    }

    /// A header of the reply with `status`, by its name among the document's headers.
    pub(crate) fn with_header(mut self, status: u16, name: &'static str) -> Self {
        if let Some(reply) = self.replies.get_mut(&status) {
            reply.headers.push(name);
        }
        self
    }

    /// Codes that it may be refused with.
    pub(crate) fn refused_with(mut self, codes: &[ErrorCode]) -> Self {
        for code in codes {
            if !self.codes.contains(code) {
                self.codes.push(*code);
            }
        }
        self
    }

    /// The operation object; that of HEAD has no bodies in its replies.
    pub(super) fn render(&self, method: &str, refusals: &mut Refusals) -> Value {
        let is_head = method == "HEAD";
        let id = if is_head { format!("{}Head", self.id) } else { self.id.to_owned() };
        let mut operation = json!({
            "operationId": id,
            "summary": self.summary,
            "responses": self.responses(is_head, refusals),
            "security": self.security.iter().map(|schemes| together(schemes)).collect::<Vec<_>>(),
        });
        if !self.description.is_empty() {
            operation["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.clone().into();
        }
        if !self.bodies.is_empty() {
            operation["requestBody"] = json!({"required": self.body_is_required, "content": self.bodies});
        }
        operation
    }

    fn responses(&self, is_head: bool, refusals: &mut Refusals) -> Map<String, Value> {
        let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
        for code in ErrorCode::ALL.iter().filter(|code| self.codes.contains(code)) {
            by_status.entry(code.status()).or_default().push(*code);
        }
        let mut all: Map<String, Value> =
            self.replies.iter().map(|(status, reply)| (status.to_string(), reply.render(is_head))).collect();
        for (status, codes) in by_status {
            match all.get_mut(&status.to_string()) {
                // A probe that fails: its own report, or a problem.
                Some(reply) if !is_head => {
                    reply["content"][PROBLEM] = refusal(status, &codes, is_head)["content"][PROBLEM].take();
                }
                Some(_) => {}
                None => {
                    all.insert(status.to_string(), refusals.of(status, &codes, is_head));
                }
            }
        }
        all
    }
}

fn together(schemes: &[&str]) -> Map<String, Value> {
    schemes.iter().map(|scheme| ((*scheme).to_owned(), json!([]))).collect()
}

/// What any call may be answered with.
const EVERYWHERE: &[ErrorCode] =
    &[ErrorCode::HeadersTooLarge, ErrorCode::RateLimited, ErrorCode::Internal, ErrorCode::Busy];

/// What a call with a body may be refused with.
const OF_BODIES: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::BodyTooLarge,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::InvalidField,
    ErrorCode::FieldRequired,
];

impl Reply {
    fn render(&self, is_head: bool) -> Value {
        let mut reply = json!({"description": self.description, "headers": headers(&self.headers)});
        if let Some((media_type, schema)) = self.content.as_ref().filter(|_| !is_head) {
            reply["content"] = json!({*media_type: {"schema": schema}});
        }
        reply
    }
}

fn headers(names: &[&str]) -> Map<String, Value> {
    let reference =
        |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    names.iter().map(reference).collect()
}

/// The refusals of a document: those that are alike stand there once, under the names of their codes.
#[derive(Default)]
pub(super) struct Refusals(Map<String, Value>);

impl Refusals {
    /// The reply with one of these codes, which all have this status, as a reference to it.
    fn of(&mut self, status: u16, codes: &[ErrorCode], is_head: bool) -> Value {
        if is_head {
            return refusal(status, codes, is_head);
        }
        let words: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
        let name = format!("{status}.{}", words.join("."));
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        self.0.entry(name).or_insert_with(|| refusal(status, codes, is_head));
        reference
    }

    /// All of them.
    pub(super) fn into_named(self) -> Map<String, Value> {
        self.0
    }
}

/// A problem document with one of these codes.
fn refusal(status: u16, codes: &[ErrorCode], is_head: bool) -> Value {
    let told: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
    let words: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let more: &[&str] = match status {
        401 => &["x-request-id", "www-authenticate"],
        429 | 503 => &["x-request-id", "retry-after"],
        _ => &["x-request-id"],
    };
    let mut refusal = json!({"description": told.join(" "), "headers": headers(more)});
    if !is_head {
        let narrowed = json!({"properties": {"status": {"const": status}, "code": {"enum": words}}});
        let schema = json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]});
        refusal["content"] = json!({PROBLEM: {"schema": schema}});
    }
    refusal
}
