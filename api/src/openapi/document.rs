//! The document of a door.

use std::sync::OnceLock;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::operation::Refusals;
use super::{Call, Schemas};
use crate::door::{Content, DoorName, ProblemDocument, Response, typed};
use crate::{device, ops, portal};

/// The version of the interface that the documents tell.
const INTERFACE_VERSION: &str = "1.0.0";

/// The document of a door as text, as it is checked in and served.
pub fn text(door: DoorName) -> String {
    format!("{:#}\n", document(door))
}

/// The document of a door as a reply; made at the first call, then kept.
pub(crate) fn served(door: DoorName) -> Response {
    static PORTAL: OnceLock<String> = OnceLock::new();
    static DEVICE: OnceLock<String> = OnceLock::new();
    static OPS: OnceLock<String> = OnceLock::new();
    let kept = match door {
        DoorName::Portal => &PORTAL,
        DoorName::Device => &DEVICE,
        DoorName::Ops => &OPS,
    };
    let text = kept.get_or_init(|| text(door));
    typed(StatusCode::OK, "application/json", Content::Whole(Bytes::from_static(text.as_bytes())))
}

/// The document of a door.
pub(crate) fn document(door: DoorName) -> Value {
    let about = match door {
        DoorName::Portal => portal::about(),
        DoorName::Device => device::about(),
        DoorName::Ops => ops::about(),
    };
    let mut schemas = Schemas::new();
    schemas.of::<ProblemDocument<'_>>();
    let mut refusals = Refusals::default();
    let paths = paths(door.calls(), &mut schemas, &mut refusals);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": about.title,
            "version": INTERFACE_VERSION,
            "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.into_named(),
            "responses": refusals.into_named(),
            "headers": headers(),
            "securitySchemes": about.security_schemes,
        },
    })
}

/// What a door says of itself as a whole.
pub(crate) struct About {
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) security_schemes: Value,
}

fn paths(calls: &[Call], schemas: &mut Schemas, refusals: &mut Refusals) -> Map<String, Value> {
    let mut paths = Map::new();
    for call in calls {
        let operation = (call.about)(schemas);
        let item = paths.entry(call.path).or_insert_with(|| json!({}));
        for method in call.verb.methods() {
            item[method.to_ascii_lowercase()] = operation.render(method, refusals);
        }
    }
    paths
}

/// The headers of replies.
fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "required": true, "schema": schema});
    json!({
        "x-request-id": header(
            "The id of this call: the caller's own, where it sent one that can stand in a log. Problems and the \
             server's log name it.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}),
        ),
        "retry-after": header(
            "Whole seconds after which to try again.",
            json!({"type": "integer", "minimum": 1}),
        ),
        "www-authenticate": header("How to authenticate.", json!({"type": "string"})),
        "location": header("The path of what was made.", json!({"type": "string", "format": "uri-reference"})),
        "preference-applied": {
            "description": "The preference that was followed, where the call sent one.",
            "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
        },
    })
}
