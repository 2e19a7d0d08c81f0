//! Apple Push Notification service: token-based, one pool per credential and environment.
//!
//! Certificates, broadcasts and push types other than `alert` are deliberately not here.

mod credential;
mod request;
mod response;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request};
use tocsin_config::{ApnsProvider, ProviderLimits};
use tocsin_model::{ProviderName, UnixMs};
use tokio::time::Instant;

use super::courier::{Courier, Network, Ruling};
use super::error::ProviderFault;
use super::{Driver, TokenShelf};
use crate::clock::Clock;
use crate::protocol::Push;
use crate::transport::{Answer, Application, Connector, Endpoint, ProxyRoute};
use credential::ApnsSigner;
use request::RequestTemplate;

/// Makes the provider tokens of one team, for whoever wants to know what one costs; a driver has its own.
pub struct ApnsTokens(ApnsSigner);

impl ApnsTokens {
    /// Reads the key of `provider`.
    pub fn open(provider: &ApnsProvider) -> Result<Self, ProviderFault> {
        ApnsSigner::read(&provider.team_id, &provider.key_id, &provider.key_file).map(Self)
    }

    /// A fresh token as the value of `authorization`; `None` if it cannot be signed.
    pub fn token(&self, now: UnixMs) -> Option<HeaderValue> {
        self.0.sign(now).ok()
    }
}

struct Apns {
    template: RequestTemplate,
}

/// A driver for APNs with one team's key. Reads the key and the file of authorities once; connects to nothing yet.
/// Its token outlives it on `shelf`, and its connections go by `route`.
pub fn apns_driver(
    name: &ProviderName,
    provider: &ApnsProvider,
    limits: &ProviderLimits,
    clock: Clock,
    shelf: &TokenShelf,
    route: Option<&ProxyRoute>,
) -> Result<Arc<dyn Driver>, ProviderFault> {
    let endpoint = Endpoint::parse(&provider.endpoint).map_err(|reason| ProviderFault::Endpoint {
        key: "endpoint",
        url: "the URL",
        reason,
        example: "https://api.push.apple.com",
    })?;
    let endpoint = Arc::new(endpoint);
    let signer = ApnsSigner::read(&provider.team_id, &provider.key_id, &provider.key_file)?;
    let connector =
        Connector::new(endpoint.clone(), provider.ca_file.as_deref(), Application::Http2)?.by(route);
    let network = Apns { template: RequestTemplate::new(endpoint) };
    Ok(Arc::new(Courier::new(name, network, signer, connector, limits, clock, shelf)))
}

impl Network for Apns {
    type Mint = ApnsSigner;
    const REASONS: &'static [&'static str] = response::REASONS;

    fn prepare(&self, push: &Push, _now: UnixMs) -> Option<Request<Bytes>> {
        self.template.prepare(push)
    }

    fn rule(&self, answer: &Answer, _now: UnixMs) -> Ruling {
        response::rule(answer.status, &answer.body)
    }

    /// APNs names no rate.
    fn pace(&self, now: Instant, _latest: Instant) -> Option<Instant> {
        Some(now)
    }

    fn pause(&self, _until: Instant) {}
}
