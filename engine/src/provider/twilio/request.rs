//! A message as a request of Twilio's Messages API. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Uri};
use tocsin_config::{Escape, TwilioProvider, TwilioSender};
use tocsin_model::PhoneNumber;

use super::report;
use crate::protocol::CodeMessage;
use crate::provider::error::ProviderFault;
use crate::transport::Endpoint;

/// Most characters of a message; Twilio refuses more.
const TEXT_CHARACTERS_MAX: usize = 1_600;
/// Longest time in seconds that Twilio keeps a message for its carrier.
const VALIDITY_S_MAX: u64 = 36_000;

/// What all requests of one account share.
pub(super) struct RequestTemplate {
    uri: Uri,
    sender: String,
    reports_to: Option<String>,
}

impl RequestTemplate {
    pub(super) fn new(
        endpoint: &Endpoint,
        provider: &TwilioProvider,
        reports_to: Option<String>,
    ) -> Result<Self, ProviderFault> {
        let path = format!("{}/2010-04-01/Accounts/{}/Messages.json", endpoint.path(), provider.account_sid);
        let uri = path
            .parse()
            .map_err(|_| ProviderFault::Id { key: "account_sid", expected: "an id that a path can carry" })?;
        let mut sender = String::new();
        match &provider.sender {
            TwilioSender::From(from) => field("From", from, &mut sender),
            TwilioSender::Service(service) => field("MessagingServiceSid", service, &mut sender),
        }
        Ok(Self { uri, sender, reports_to })
    }

    /// The request, or `None` for a text that Twilio takes at no length. Twilio drops the message itself when its code
    /// is worth nothing any more.
    pub(super) fn prepare(
        &self,
        message: &CodeMessage,
        to: &PhoneNumber,
        time_left: Duration,
        authorization: &HeaderValue,
    ) -> Option<Request<Bytes>> {
        let text = message.text.expose();
        if text.is_empty() || text.chars().count() > TEXT_CHARACTERS_MAX {
            return None;
        }
        let mut form = self.sender.clone();
        field("To", to.expose(), &mut form);
        field("Body", text, &mut form);
        field("ValidityPeriod", &time_left.as_secs().clamp(1, VALIDITY_S_MAX).to_string(), &mut form);
        if let Some(base) = &self.reports_to {
            let url = report::with_ids(base, message.transaction_id, message.push_id);
            field("StatusCallback", &url, &mut form);
        }
        let request = Request::post(self.uri.clone())
            .header(AUTHORIZATION, authorization.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        request.body(Bytes::from(form)).ok()
    }
}

fn field(name: &str, value: &str, form: &mut String) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    Escape::Percent.write(value, form);
}
