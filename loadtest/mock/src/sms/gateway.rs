//! A gateway whose form the test chooses: query, form, JSON or XML.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::SmsRecord;
use super::server::{Dialect, RECORDS_MAX_DEFAULT, SmsServer, Taken, Wrong, is_e164};
use crate::wire::{Call, Reply};
use crate::{MockError, ServerIdentity, form};

/// The path of every form.
const PATH: &str = "/send";

/// How the message is written; its fields are `to`, `text`, `from` and `ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayForm {
    /// In the query of a GET.
    Query,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// One flat object of JSON.
    Json,
    /// One element for each field below the root.
    Xml,
}

/// How a caller shows that it may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAccess {
    /// Anybody may.
    Open,
    /// HTTP Basic.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

/// How a [`GatewayServer`] is set up.
#[derive(Debug)]
pub struct GatewayOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// How messages are written.
    pub form: GatewayForm,
    /// Who may send.
    pub access: GatewayAccess,
    /// Most messages that are kept on record.
    pub records_max: usize,
}

impl GatewayOptions {
    /// An open gateway on a free port of 127.0.0.1.
    pub fn new(identity: ServerIdentity, form: GatewayForm) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            form,
            access: GatewayAccess::Open,
            records_max: RECORDS_MAX_DEFAULT,
        }
    }
}

/// The double of a gateway.
pub type GatewayServer = SmsServer<Generic>;

/// How a gateway of the chosen form is spoken to.
pub struct Generic {
    form: GatewayForm,
    authorization: Option<String>,
    messages: AtomicU64,
}

impl GatewayServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: GatewayOptions) -> Result<Self, MockError> {
        let authorization = match options.access {
            GatewayAccess::Open => None,
            GatewayAccess::Basic { username, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            GatewayAccess::Bearer(token) => Some(format!("Bearer {token}")),
        };
        let dialect = Generic { form: options.form, authorization, messages: AtomicU64::new(0) };
        Self::start_with(dialect, options.address, options.identity, options.records_max).await
    }

    /// Where messages are sent: `https://127.0.0.1:PORT/send`.
    pub fn url(&self) -> String {
        format!("https://{}{PATH}", self.addr())
    }
}

impl Dialect for Generic {
    fn fields(&self, call: &Call) -> Result<Vec<(String, String)>, Wrong> {
        let header = |name| call.head.headers.get(name).and_then(|value| value.to_str().ok());
        if self.authorization.is_some() && header(header::AUTHORIZATION) != self.authorization.as_deref() {
            return Err(Wrong::status("wrong credential", StatusCode::UNAUTHORIZED));
        }
        if call.head.uri.path() != PATH {
            return Err(Wrong::status("no such resource", StatusCode::NOT_FOUND));
        }
        let (method, media_type) = match self.form {
            GatewayForm::Query => (Method::GET, None),
            GatewayForm::Form => (Method::POST, Some("application/x-www-form-urlencoded")),
            GatewayForm::Json => (Method::POST, Some("application/json")),
            GatewayForm::Xml => (Method::POST, Some("application/xml; charset=utf-8")),
        };
        if call.head.method != method {
            return Err(Wrong::status("wrong method", StatusCode::METHOD_NOT_ALLOWED));
        }
        if header(header::CONTENT_TYPE) != media_type {
            return Err(Wrong::status("wrong content type", StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let fields = match self.form {
            GatewayForm::Query => form::parse(call.head.uri.query().unwrap_or_default().as_bytes()),
            GatewayForm::Form => form::parse(&call.body),
            GatewayForm::Json => json_fields(&call.body),
            GatewayForm::Xml => std::str::from_utf8(&call.body).ok().and_then(xml_fields),
        };
        fields.ok_or_else(|| Wrong::status("not what it is said to be", StatusCode::BAD_REQUEST))
    }

    fn take(&self, record: &SmsRecord) -> Result<Taken, Wrong> {
        if !is_e164(record.to()) {
            return Err(Wrong::status("to is no number", StatusCode::UNPROCESSABLE_ENTITY));
        }
        if record.text().is_empty() {
            return Err(Wrong::status("no text", StatusCode::UNPROCESSABLE_ENTITY));
        }
        let sid = (self.messages.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let reply = Reply::json(StatusCode::OK, &json!({"result": {"status": "queued", "id": sid}}));
        Ok(Taken { sid, reply })
    }
}

fn json_fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let Value::Object(members) = serde_json::from_slice(body).ok()? else { return None };
    members.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// The elements below the root, which may hold text only. Enough to see whether somebody escaped well.
fn xml_fields(text: &str) -> Option<Vec<(String, String)>> {
    let text = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap_or(text).trim();
    let (root, rest) = text.strip_prefix('<')?.split_once('>')?;
    let mut rest = rest.strip_suffix(&format!("</{root}>"))?.trim();
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('<')?.split_once('>')?;
        let (value, after) = after.split_once('<')?;
        rest = after.strip_prefix(&format!("/{name}>"))?.trim_start();
        fields.push((name.to_owned(), xml_text(value)?));
    }
    Some(fields)
}

fn xml_text(value: &str) -> Option<String> {
    let mut parts = value.split('&');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';')?;
        text.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            number => char::from_u32(number.strip_prefix('#')?.parse().ok()?)?,
        });
        text.push_str(after);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_read_and_bad_escapes_are_not() {
        let read = |text: &str| xml_fields(text);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read("<sms><to>+1</to> <text>a &lt;b&gt; &amp;&#10;</text></sms>"),
            Some(vec![pair("to", "+1"), pair("text", "a <b> &\n")])
        );
        for bad in
            ["<sms><text>a & b</text></sms>", "<sms><text><b></b></text></sms>", "<sms>", "", "<a></b>"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
