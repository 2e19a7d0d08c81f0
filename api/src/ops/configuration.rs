//! The effective configuration.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::{EffectiveKey, EffectiveValue, Role};

use super::operator::require;
use crate::door::{DoorState, Query, Reply, Request, private_json};

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Configuration")]
pub(super) struct ConfigView<'a> {
    items: Vec<KeyView<'a>>,
}

/// One key that has a value.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConfigurationKey")]
struct KeyView<'a> {
    /// Its dotted path.
    key: &'a str,
    /// Secrets are masked.
    value: ValueView<'a>,
    /// Where the value comes from.
    source: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
#[schemars(rename = "ConfigurationValue")]
enum ValueView<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    List(&'a [String]),
}

impl<'a> KeyView<'a> {
    fn of(key: &'a EffectiveKey) -> Self {
        let value = match &key.value {
            EffectiveValue::Text(text) => ValueView::Text(text),
            EffectiveValue::Number(number) => ValueView::Number(*number),
            EffectiveValue::Flag(flag) => ValueView::Flag(*flag),
            EffectiveValue::List(texts) => ValueView::List(texts),
        };
        Self { key: &key.path, value, source: &key.source }
    }
}

/// `GET /v1/admin/config`: every key that has a value, with its source; secrets are masked.
pub(super) async fn show(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    Query::parse(request.query_string(), &[])?;
    let config = state.handle.config();
    let items = config.effective.keys().map(KeyView::of).collect();
    Ok(private_json(StatusCode::OK, &ConfigView { items }))
}
