//! An SMS gateway that is described by templates: query, form, JSON or XML over HTTP/1.1.
//!
//! Deliberately not here: reports of what became of a message, for which every gateway has a form of its own.

mod credential;
mod request;
mod response;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_config::{AnswerRules, HttpSmsProvider, ProviderLimits};
use tocsin_model::{PhoneNumber, ProviderName, UnixMs};

use super::error::{ProviderFault, ProviderSetupError};
use super::messenger::{Gateway, Messenger, Ruling, http_limits};
use super::{Driver, DriverReport, DriverSnapshot};
use crate::clock::Clock;
use crate::protocol::{CodeMessage, Parcel};
use crate::transport::{Application, Connector, Endpoint, HttpAnswer, HttpClient, ProxyRoute};
use request::RequestTemplate;

/// A driver for one gateway.
pub struct HttpSmsDriver(Messenger<HttpSms>);

struct HttpSms {
    template: RequestTemplate,
    rules: AnswerRules,
}

impl HttpSmsDriver {
    /// Reads the gateway's secret and the file of authorities once. Connects to nothing yet.
    pub fn new(
        name: &ProviderName,
        provider: &HttpSmsProvider,
        limits: &ProviderLimits,
        clock: Clock,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderSetupError> {
        Self::set_up(name, provider, limits, clock, route)
            .map_err(|fault| ProviderSetupError::new(name, fault))
    }

    fn set_up(
        name: &ProviderName,
        provider: &HttpSmsProvider,
        limits: &ProviderLimits,
        clock: Clock,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, ProviderFault> {
        let endpoint =
            Endpoint::parse_or_loopback(&provider.base_url).map_err(|reason| ProviderFault::Endpoint {
                key: "url",
                url: "the URL",
                reason,
                example: "https://sms.example.com/send",
            })?;
        let credential = credential::read(&provider.access)?;
        let template = RequestTemplate::new(provider, credential)?;
        let connector =
            Connector::new(Arc::new(endpoint), provider.ca_file.as_deref(), Application::Http1)?.by(route);
        let client = HttpClient::new(connector, http_limits(limits), clock.clone())
            .map_err(|_| ProviderFault::Id { key: "url", expected: "the URL of a host" })?;
        let gateway = HttpSms { template, rules: provider.rules.clone() };
        Ok(Self(Messenger::new(name, gateway, client, provider.resend_unknown, limits, clock)))
    }
}

impl Gateway for HttpSms {
    const REASONS: &'static [&'static str] = response::REASONS;

    fn prepare(&self, message: &CodeMessage, to: &PhoneNumber, _: Duration) -> Option<Request<Bytes>> {
        self.template.prepare(message, to)
    }

    fn rule(&self, answer: &HttpAnswer, now: UnixMs) -> Ruling {
        response::rule(&self.rules, answer, now)
    }
}

impl Driver for HttpSmsDriver {
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
}
