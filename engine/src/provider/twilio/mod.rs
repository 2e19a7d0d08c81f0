//! Twilio's Messages API: one account, over HTTP/1.1.
//!
//! Deliberately not here: Twilio's own one-time codes, media messages and scheduling.

mod credential;
mod report;
mod request;
mod response;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_config::{ProviderLimits, TwilioProvider};
use tocsin_model::{PhoneNumber, ProviderName, UnixMs};

use super::error::{ProviderFault, ProviderSetupError};
use super::messenger::{Gateway, Messenger, Ruling, http_limits};
use super::{Driver, DriverReport, DriverSnapshot, GatewayReport, ReportCall, ReportFault};
use crate::clock::Clock;
use crate::protocol::{CodeMessage, Parcel};
use crate::transport::{Application, Connector, Endpoint, HttpAnswer, HttpClient, ProxyRoute};
use credential::Account;
use request::RequestTemplate;

/// A driver for one account of Twilio.
pub struct TwilioDriver(Messenger<Twilio>);

struct Twilio {
    account: Account,
    template: RequestTemplate,
}

impl TwilioDriver {
    /// Reads the account's secrets and the file of authorities once. Connects to nothing yet. `issuer` is the device
    /// door's URL, below which status reports are taken.
    pub fn new(
        name: &ProviderName,
        provider: &TwilioProvider,
        limits: &ProviderLimits,
        clock: Clock,
        issuer: Option<&str>,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderSetupError> {
        Self::set_up(name, provider, limits, clock, issuer, route)
            .map_err(|fault| ProviderSetupError::new(name, fault))
    }

    fn set_up(
        name: &ProviderName,
        provider: &TwilioProvider,
        limits: &ProviderLimits,
        clock: Clock,
        issuer: Option<&str>,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderFault> {
        let endpoint = Endpoint::parse(&provider.endpoint).map_err(|reason| ProviderFault::Endpoint {
            key: "endpoint",
            url: "the URL",
            reason,
            example: "https://api.twilio.com",
        })?;
        let account = Account::read(provider)?;
        let reports_to = issuer.filter(|_| provider.status_reports).map(|issuer| report::url(issuer, name));
        let template = RequestTemplate::new(&endpoint, provider, reports_to)?;
        let connector =
            Connector::new(Arc::new(endpoint), provider.ca_file.as_deref(), Application::Http1)?.by(route);
        let client = HttpClient::new(connector, http_limits(limits), clock.clone())
            .map_err(|_| ProviderFault::Id { key: "endpoint", expected: "the URL of a host" })?;
        let gateway = Twilio { account, template };
        Ok(Self(Messenger::new(name, gateway, client, provider.resend_unknown, limits, clock)))
    }
}

impl Gateway for Twilio {
    const REASONS: &'static [&'static str] = response::REASONS;

    fn prepare(
        &self,
        message: &CodeMessage,
        to: &PhoneNumber,
        time_left: Duration,
    ) -> Option<Request<Bytes>> {
        self.template.prepare(message, to, time_left, self.account.authorization())
    }

    fn rule(&self, answer: &HttpAnswer, now: UnixMs) -> Ruling {
        response::rule(answer, now)
    }
}

impl Driver for TwilioDriver {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        Box::pin(self.0.deliver(parcel, written))
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

    fn read_report(&self, call: &ReportCall<'_>) -> Result<GatewayReport, ReportFault> {
        report::read(call, self.0.gateway().account.report_key())
    }
}
