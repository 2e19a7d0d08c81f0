//! Apple Push Notification service: token-based, one pool per credential and environment.
//!
//! Certificates, broadcasts and push types other than `alert` are deliberately not here.

mod credential;
mod request;
mod response;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tocsin_config::{ApnsProvider, ProviderLimits};
use tocsin_model::{ProviderName, UnixMs};
use tokio::time::Instant;

use super::courier::{Courier, Network, Prepared, Ruling};
use super::error::{ProviderFault, ProviderSetupError};
use super::{Driver, DriverReport, DriverSnapshot, TokenShelf};
use crate::clock::Clock;
use crate::protocol::{Parcel, Push};
use crate::transport::{Answer, Application, Connector, Endpoint, ProxyRoute};
use credential::ApnsSigner;
use request::RequestTemplate;

/// A driver for APNs with one team's key.
pub struct ApnsDriver(Courier<Apns>);

struct Apns {
    template: RequestTemplate,
}

impl ApnsDriver {
    /// Reads the key and the file of authorities once. Connects to nothing yet. Its token outlives it on `shelf`,
    /// and its connections go by `route`.
    pub fn new(
        name: &ProviderName,
        provider: &ApnsProvider,
        limits: &ProviderLimits,
        clock: Clock,
        shelf: &TokenShelf,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderSetupError> {
        Self::set_up(name, provider, limits, clock, shelf, route)
            .map_err(|fault| ProviderSetupError::new(name, fault))
    }

    fn set_up(
        name: &ProviderName,
        provider: &ApnsProvider,
        limits: &ProviderLimits,
        clock: Clock,
        shelf: &TokenShelf,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderFault> {
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
        Ok(Self(Courier::new(name, network, signer, connector, limits, clock, shelf)))
    }
}

impl Network for Apns {
    type Mint = ApnsSigner;
    const REASONS: &'static [&'static str] = response::REASONS;

    fn prepare(&self, push: &Push, _now: UnixMs) -> Option<Prepared> {
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

impl Driver for ApnsDriver {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        match parcel {
            Parcel::Push(push) => Box::pin(self.0.deliver(push, written)),
            Parcel::Code(_) => Box::pin(ready(DriverReport::wrong_parcel())),
        }
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.keep_warm())
    }

    fn close(&self) {
        self.0.close();
    }

    fn snapshot(&self) -> DriverSnapshot {
        self.0.snapshot()
    }
}
