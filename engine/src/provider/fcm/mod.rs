//! Firebase Cloud Messaging, HTTP v1: one pool and one pace per project.
//!
//! Data messages only: the app makes the notification. Topics, conditions and dry runs are deliberately not here.

mod credential;
mod oauth;
mod request;
mod response;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use tocsin_config::{FcmProvider, ProviderLimits};
use tocsin_model::{ProviderName, UnixMs};
use tokio::time::Instant;

use super::bucket::Bucket;
use super::courier::{Courier, Network, Ruling};
use super::error::ProviderFault;
use super::{Driver, TokenShelf};
use crate::clock::Clock;
use crate::protocol::Push;
use crate::transport::{Answer, Application, Connector, Endpoint, ProxyRoute};
use credential::ServiceAccount;
use oauth::OAuthMint;
use request::RequestTemplate;

struct Fcm {
    template: RequestTemplate,
    bucket: Mutex<Bucket>,
}

/// A driver for FCM with one project's service account. Reads the service account and the file of authorities once;
/// connects to nothing yet. Pushes and access tokens go by `route`.
pub fn fcm_driver(
    name: &ProviderName,
    provider: &FcmProvider,
    limits: &ProviderLimits,
    clock: Clock,
    route: Option<&ProxyRoute>,
) -> Result<Arc<dyn Driver>, ProviderFault> {
    let endpoint = Endpoint::parse(&provider.endpoint).map_err(|reason| ProviderFault::Endpoint {
        key: "endpoint",
        url: "the URL",
        reason,
        example: "https://fcm.googleapis.com",
    })?;
    let account = ServiceAccount::read(&provider.service_account_file)?;
    let ca_file = provider.ca_file.as_deref();
    let token_connector = Connector::new(account.token_endpoint(), ca_file, Application::Http)?.by(route);
    let connector = Connector::new(Arc::new(endpoint.clone()), ca_file, Application::Http2)?.by(route);
    let network = Fcm {
        template: RequestTemplate::new(&endpoint, account.project_id())?,
        bucket: Mutex::new(Bucket::new(provider.pushes_per_minute_max)),
    };
    let time_limit = limits.connect_timeout.to_std() + limits.request_timeout.to_std();
    let mint = OAuthMint::new(account, token_connector, time_limit);
    Ok(Arc::new(Courier::new(name, network, mint, connector, limits, clock, &TokenShelf::none())))
}

impl Fcm {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network for Fcm {
    type Mint = OAuthMint;
    const REASONS: &'static [&'static str] = response::REASONS;

    fn prepare(&self, push: &Push, now: UnixMs) -> Option<Request<Bytes>> {
        self.template.prepare(push, now)
    }

    fn rule(&self, answer: &Answer, now: UnixMs) -> Ruling {
        response::rule(answer.status, &answer.headers, &answer.body, now)
    }

    fn pace(&self, now: Instant, latest: Instant) -> Option<Instant> {
        self.bucket().reserve(now, latest)
    }

    fn pause(&self, until: Instant) {
        self.bucket().pause(until);
    }
}
