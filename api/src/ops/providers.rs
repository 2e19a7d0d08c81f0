//! The providers, as they are configured and as they are.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::{Provider, ProviderNetwork, Role};
use tocsin_engine::provider::DriverSnapshot;
use tocsin_model::ProviderName;

use super::operator::require;
use crate::door::{DoorState, Query, Reply, Request, private_json};
use crate::openapi;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderList")]
pub(super) struct ProviderList {
    items: Vec<ProviderView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Provider")]
struct ProviderView {
    #[schemars(schema_with = "openapi::name")]
    name: String,
    #[schemars(schema_with = "openapi::provider_kind")]
    kind: &'static str,
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::push_environment")]
    environment: Option<&'static str>,
    #[schemars(extend("format" = "uri"))]
    endpoint: String,
    /// Whether its breaker lets pushes through.
    available: bool,
    tokens_made: u64,
    token_faults: u64,
    credential_faults: u64,
}

impl ProviderView {
    fn of(name: String, provider: &Provider, available: bool, counted: &DriverSnapshot) -> Self {
        let (kind, environment, endpoint) = match &provider.network {
            ProviderNetwork::Apns(apns) => ("apns", Some(apns.environment.as_str()), apns.endpoint.clone()),
            ProviderNetwork::Fcm(fcm) => ("fcm", None, fcm.endpoint.clone()),
            ProviderNetwork::Twilio(twilio) => ("twilio", None, twilio.endpoint.clone()),
            ProviderNetwork::HttpSms(gateway) => ("http-sms", None, gateway.base_url.clone()),
            ProviderNetwork::Smtp(mail) => ("smtp", None, mail.url()),
        };
        Self {
            name,
            kind,
            default: provider.is_default,
            environment,
            endpoint,
            available,
            tokens_made: counted.tokens_made,
            token_faults: counted.token_faults,
            credential_faults: counted.credential_faults,
        }
    }
}

/// `GET /v1/admin/providers`
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    Query::parse(request.query_string(), &[])?;
    let (config, drivers) = (state.handle.config(), state.handle.drivers());
    let states = state.handle.readiness().providers;
    let view = |(name, provider): (&ProviderName, &Provider)| {
        let available = states.iter().any(|state| state.name == *name && state.available);
        let counted = drivers.get(name).map(|driver| driver.snapshot()).unwrap_or_default();
        ProviderView::of(name.to_string(), provider, available, &counted)
    };
    let items = config.providers.iter().map(view).collect();
    Ok(private_json(StatusCode::OK, &ProviderList { items }))
}
