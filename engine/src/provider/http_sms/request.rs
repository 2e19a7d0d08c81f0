//! A message as a request of a gateway's own form. Pure.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use tocsin_config::{BodyFormat, Escape, Filling, GatewayMethod, HttpSmsProvider, Template};
use tocsin_model::PhoneNumber;

use crate::protocol::CodeMessage;
use crate::provider::error::ProviderFault;

/// Longest path and query; longer ones are refused by many servers.
const TARGET_BYTES_MAX: usize = 8 * 1_024;

/// What all requests of one gateway share.
pub(super) struct RequestTemplate {
    method: Method,
    target: Template,
    body: Option<(Template, Escape)>,
    headers: HeaderMap,
    from: String,
}

impl RequestTemplate {
    pub(super) fn new(
        provider: &HttpSmsProvider,
        credential: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Self, ProviderFault> {
        let (media_type, escape) = match provider.body_format {
            BodyFormat::Form => ("application/x-www-form-urlencoded", Escape::Percent),
            BodyFormat::Json => ("application/json", Escape::Json),
            BodyFormat::Xml => ("application/xml; charset=utf-8", Escape::Xml),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &provider.headers {
            let unfit = || ProviderFault::Id { key: "headers", expected: "a list of headers" };
            let name: HeaderName = name.parse().map_err(|_| unfit())?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| unfit())?);
        }
        headers.extend(credential);
        if provider.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let method = match provider.http_method {
            GatewayMethod::Get => Method::GET,
            GatewayMethod::Post => Method::POST,
            GatewayMethod::Put => Method::PUT,
        };
        Ok(Self {
            method,
            target: provider.target.clone(),
            body: provider.body.clone().map(|body| (body, escape)),
            headers,
            from: provider.from.clone(),
        })
    }

    /// The request, or `None` when its URL would be too long.
    pub(super) fn prepare(&self, message: &CodeMessage, to: &PhoneNumber) -> Option<Request<Bytes>> {
        let reference = message.push_id.to_string();
        let filling =
            Filling { to: to.expose(), text: message.text.expose(), from: &self.from, reference: &reference };
        let target = self.target.fill(filling, Escape::Percent);
        if target.len() > TARGET_BYTES_MAX {
            return None;
        }
        let body = self.body.as_ref().map(|(body, escape)| body.fill(filling, *escape)).unwrap_or_default();
        let mut request = Request::builder().method(self.method.clone()).uri(target);
        request.headers_mut()?.clone_from(&self.headers);
        request.body(Bytes::from(body)).ok()
    }
}
