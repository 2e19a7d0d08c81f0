//! An SMS gateway that is described by templates: query, form, JSON or XML over HTTP/1.1.
//!
//! Deliberately not here: reports of what became of a message, for which every gateway has a form of its own.

mod credential;
mod request;
mod response;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_config::{AnswerRules, HttpSmsProvider, ProviderLimits};
use tocsin_model::{PhoneNumber, ProviderName, UnixMs};

use super::Driver;
use super::error::ProviderFault;
use super::messenger::{Gateway, Messenger, Ruling, http_limits};
use crate::clock::Clock;
use crate::protocol::CodeMessage;
use crate::transport::{Application, Connector, Endpoint, HttpAnswer, HttpClient, ProxyRoute};
use request::RequestTemplate;

struct HttpSms {
    template: RequestTemplate,
    rules: AnswerRules,
}

/// A driver for one gateway. Reads the gateway's secret and the file of authorities once; connects to nothing yet.
pub fn http_sms_driver(
    name: &ProviderName,
    provider: &HttpSmsProvider,
    limits: &ProviderLimits,
    clock: Clock,
    route: Option<&ProxyRoute>,
) -> Result<Arc<dyn Driver>, ProviderFault> {
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
    Ok(Arc::new(Messenger::new(name, gateway, client, provider.resend_unknown, limits, clock)))
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
