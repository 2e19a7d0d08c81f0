//! Twilio's Messages API, as far as sending goes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use serde_json::json;

use super::server::{Dialect, RECORDS_MAX_DEFAULT, SmsServer, Taken, Wrong, is_e164};
use super::{SmsRecord, SmsRefusal, StatusReport};
use crate::wire::{Call, Reply};
use crate::{MockError, ServerIdentity, form};

/// Most characters of a message.
const BODY_CHARACTERS_MAX: usize = 1_600;
/// Seconds that a message may wait for its carrier.
const VALIDITY_S: std::ops::RangeInclusive<u64> = 1..=36_000;

/// How a [`TwilioServer`] is set up.
#[derive(Debug)]
pub struct TwilioOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// The account, `AC` and 32 hex digits.
    pub account_sid: String,
    /// Its token: the password of the account, and the key of status reports.
    pub auth_token: String,
    /// Keys that may send as well: `SK…` and the secret.
    pub api_keys: Vec<(String, String)>,
    /// Numbers and names that the account may send from; empty for any.
    pub senders: Vec<String>,
    /// Most messages that are kept on record.
    pub records_max: usize,
}

impl TwilioOptions {
    /// An account on a free port of 127.0.0.1 that may send from anywhere.
    pub fn new(identity: ServerIdentity, account_sid: &str, auth_token: &str) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            account_sid: account_sid.to_owned(),
            auth_token: auth_token.to_owned(),
            api_keys: Vec::new(),
            senders: Vec::new(),
            records_max: RECORDS_MAX_DEFAULT,
        }
    }
}

/// The double of Twilio.
pub type TwilioServer = SmsServer<Twilio>;

/// How Twilio's Messages API is spoken.
pub struct Twilio {
    account_sid: String,
    auth_token: String,
    credentials: Vec<String>,
    senders: Vec<String>,
    messages: AtomicU64,
}

impl TwilioServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: TwilioOptions) -> Result<Self, MockError> {
        let account = (options.account_sid.clone(), options.auth_token.clone());
        let basic = |(user, password): &(String, String)| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        };
        let credentials = std::iter::once(&account).chain(&options.api_keys).map(basic).collect();
        let dialect = Twilio {
            account_sid: options.account_sid,
            auth_token: options.auth_token,
            credentials,
            senders: options.senders,
            messages: AtomicU64::new(0),
        };
        Self::start_with(dialect, options.address, options.identity, options.records_max).await
    }

    /// Its base address: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr())
    }

    /// What Twilio posts of a message: its new status and, where it failed, the error's code. `None` for a message
    /// that asked for no reports.
    pub fn status_report(
        &self,
        message: &SmsRecord,
        status: &str,
        error_code: Option<u32>,
    ) -> Option<StatusReport> {
        let (url, sid) = (message.field("StatusCallback")?, message.sid.as_deref()?);
        let code = error_code.map(|code| code.to_string());
        let mut fields = vec![
            ("AccountSid", self.dialect().account_sid.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("From", message.field("From").unwrap_or_default()),
            ("MessageSid", sid),
            ("MessageStatus", status),
            ("SmsSid", sid),
            ("SmsStatus", status),
            ("To", message.to()),
        ];
        fields.extend(code.as_deref().map(|code| ("ErrorCode", code)));
        Some(StatusReport::new(url, &fields, &self.dialect().auth_token))
    }
}

impl Dialect for Twilio {
    fn fields(&self, call: &Call) -> Result<Vec<(String, String)>, Wrong> {
        let header = |name| call.head.headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = header(header::AUTHORIZATION).unwrap_or_default();
        if !self.credentials.iter().any(|known| known == authorization) {
            return Err(Wrong("wrong credential", SmsRefusal::twilio(20_003)));
        }
        if call.head.uri.path() != format!("/2010-04-01/Accounts/{}/Messages.json", self.account_sid) {
            return Err(Wrong("no such resource", SmsRefusal::twilio(20_404)));
        }
        if call.head.method != Method::POST {
            return Err(Wrong::status("not a POST", StatusCode::METHOD_NOT_ALLOWED));
        }
        if header(header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
            return Err(Wrong::status("not a form", StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let fields = form::parse(&call.body).filter(|_| !call.body_cut_short);
        fields.ok_or_else(|| Wrong::status("not a form", StatusCode::BAD_REQUEST))
    }

    fn take(&self, record: &SmsRecord) -> Result<Taken, Wrong> {
        let refused = |why, code| Err(Wrong(why, SmsRefusal::twilio(code)));
        let text = record.text();
        if !is_e164(record.to()) {
            return refused("To is no number", 21_211);
        }
        let sender = match (record.field("From"), record.field("MessagingServiceSid")) {
            (Some(from), None) => from,
            (None, Some(service)) if service.starts_with("MG") && service.len() == 34 => service,
            _ => return refused("not exactly one of From and MessagingServiceSid", 21_603),
        };
        if !self.senders.is_empty() && !self.senders.iter().any(|known| known == sender) {
            return refused("not a sender of this account", 21_606);
        }
        if text.is_empty() {
            return refused("no body", 21_602);
        }
        if text.chars().count() > BODY_CHARACTERS_MAX {
            return refused("the body is too long", 21_617);
        }
        let validity = record.field("ValidityPeriod").map(str::parse::<u64>);
        if !validity.is_none_or(|seconds| seconds.is_ok_and(|seconds| VALIDITY_S.contains(&seconds))) {
            return refused("a validity out of bounds", 21_623);
        }
        if !record.field("StatusCallback").is_none_or(|url| url.starts_with("http")) {
            return refused("StatusCallback is no URL", 21_609);
        }
        let sid = format!("SM{:032x}", self.messages.fetch_add(1, Ordering::Relaxed) + 1);
        let body = json!({
            "sid": sid, "account_sid": self.account_sid, "to": record.to(), "from": record.field("From"),
            "body": text, "status": "queued", "error_code": null, "error_message": null, "num_segments": "1",
        });
        Ok(Taken { sid, reply: Reply::json(StatusCode::CREATED, &body) })
    }
}
