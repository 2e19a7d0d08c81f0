//! Twilio's Messages API: one account, over HTTP/1.1.
//!
//! Deliberately not here: Twilio's own one-time codes, media messages and scheduling.

mod credential;
mod report;
mod request;
mod response;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_config::{ProviderLimits, TwilioProvider};
use tocsin_model::{PhoneNumber, ProviderName, UnixMs};

use super::error::ProviderFault;
use super::messenger::{Gateway, Messenger, Ruling, http_limits};
use super::{Driver, GatewayReport, ReportCall, ReportFault};
use crate::clock::Clock;
use crate::protocol::CodeMessage;
use crate::transport::{Application, Connector, Endpoint, HttpAnswer, HttpClient, ProxyRoute};
use credential::Account;
use request::RequestTemplate;

struct Twilio {
    account: Account,
    template: RequestTemplate,
}

/// A driver for one account of Twilio. Reads the account's secrets and the file of authorities once; connects to
/// nothing yet. `issuer` is the device door's URL, below which status reports are taken.
pub fn twilio_driver(
    name: &ProviderName,
    provider: &TwilioProvider,
    limits: &ProviderLimits,
    clock: Clock,
    issuer: Option<&str>,
    route: Option<&ProxyRoute>,
) -> Result<Arc<dyn Driver>, ProviderFault> {
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
    Ok(Arc::new(Messenger::new(name, gateway, client, provider.resend_unknown, limits, clock)))
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

    fn read_report(&self, call: &ReportCall<'_>) -> Result<GatewayReport, ReportFault> {
        report::read(call, self.account.report_key())
    }
}
