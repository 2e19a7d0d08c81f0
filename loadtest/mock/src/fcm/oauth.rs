//! Google's token endpoint: a signed assertion in, an access token out (RFC 7523, RFC 6749 section 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::access::{Access, Account};
use crate::form;
use crate::jws::{Jws, JwsAlgorithm};
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript, MockClock};

/// Path of the endpoint.
pub(super) const TOKEN_PATH: &str = "/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The audience that Google's own libraries sign whatever the token endpoint is called.
const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// Scopes that allow to send.
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];
/// Longest life of an assertion, and how far its times may be off, in seconds.
const ASSERTION_LIFE_MAX_S: u64 = 3_600;
const CLOCK_SKEW_MAX_S: u64 = 300;

/// A refusal of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OAuthRefusal {
    /// 400 `invalid_grant`: clock, signature, revoked key, deleted account.
    InvalidGrant,
    /// 401 `invalid_client`: no such account.
    InvalidClient,
    /// 400 `unsupported_grant_type`.
    UnsupportedGrantType,
    /// 400 `invalid_scope`.
    InvalidScope,
    /// 400 `invalid_request`: no form, or a field is missing.
    InvalidRequest,
    /// Anything else, such as 503 with no body.
    Undocumented {
        /// The status.
        status: StatusCode,
        /// The body, byte for byte.
        body: String,
    },
}

/// The endpoint behind its listener.
pub(super) struct TokenService {
    pub(super) access: Arc<Access>,
    pub(super) clock: MockClock,
    pub(super) faults: FaultScript<OAuthRefusal>,
    pub(super) expires_in_s: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Service for TokenService {
    type Session = ();

    fn cuts_before_reading(&self, _head: &Parts) -> bool {
        self.faults.take_before_reading(None).is_some()
    }

    async fn answer(&self, _session: &(), call: Call) -> Action {
        let fault = self.faults.take(None);
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let verdict = match &fault {
            Some(Fault::Refuse(refusal)) => Err(refusal.clone()),
            _ => self.exchange(&call),
        };
        if verdict.is_err() {
            self.refused.fetch_add(1, Ordering::AcqRel);
        }
        let reply = verdict.unwrap_or_else(|refusal| refusal.reply());
        Fault::after_processing(fault, reply).await
    }
}

impl TokenService {
    fn exchange(&self, call: &Call) -> Result<Reply, OAuthRefusal> {
        let assertion = assertion(call)?;
        let jws = Jws::parse(&assertion).ok_or(OAuthRefusal::InvalidGrant)?;
        let client_email = jws.text("iss").ok_or(OAuthRefusal::InvalidGrant)?;
        let account = self.access.account(client_email).ok_or(OAuthRefusal::InvalidClient)?;
        self.check_signature(&jws, &account)?;
        self.check_times(&jws)?;
        check_audience(&jws, &call.head)?;
        let scopes = jws.text("scope").unwrap_or_default();
        if !scopes.split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err(OAuthRefusal::InvalidScope);
        }
        self.grant(client_email)
    }

    fn check_signature(&self, jws: &Jws<'_>, account: &Account) -> Result<(), OAuthRefusal> {
        let key_fits = jws.key_id().is_none_or(|key_id| key_id == account.key_id);
        let good = !account.is_deleted
            && key_fits
            && jws.is(JwsAlgorithm::Rs256)
            && jws.verifies(JwsAlgorithm::Rs256, &account.public_key_der);
        if good { Ok(()) } else { Err(OAuthRefusal::InvalidGrant) }
    }

    fn check_times(&self, jws: &Jws<'_>) -> Result<(), OAuthRefusal> {
        let (Some(issued_at_s), Some(expires_at_s)) = (jws.seconds("iat"), jws.seconds("exp")) else {
            return Err(OAuthRefusal::InvalidGrant);
        };
        let now_s = self.clock.now_s();
        let good = expires_at_s > issued_at_s
            && expires_at_s - issued_at_s <= ASSERTION_LIFE_MAX_S
            && issued_at_s <= now_s + CLOCK_SKEW_MAX_S
            && expires_at_s + CLOCK_SKEW_MAX_S > now_s;
        if good { Ok(()) } else { Err(OAuthRefusal::InvalidGrant) }
    }

    fn grant(&self, client_email: &str) -> Result<Reply, OAuthRefusal> {
        let expires_in_s = self.expires_in_s.load(Ordering::Acquire);
        let life_ms = millis(Duration::from_secs(expires_in_s));
        let now_ms = self.clock.now_ms();
        let token =
            self.access.issue(client_email, now_ms, now_ms.saturating_add(life_ms)).ok_or_else(|| {
                OAuthRefusal::Undocumented { status: StatusCode::SERVICE_UNAVAILABLE, body: String::new() }
            })?;
        let body = json!({"access_token": token, "expires_in": expires_in_s, "token_type": "Bearer"});
        Ok(Reply::json(StatusCode::OK, &body)
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }
}

impl OAuthRefusal {
    fn reply(&self) -> Reply {
        let (status, error, description) = match self {
            Self::InvalidGrant => {
                (StatusCode::BAD_REQUEST, "invalid_grant", "Invalid JWT Signature or times.")
            }
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client", "The account was not found."),
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "Invalid grant_type.")
            }
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope", "Invalid OAuth scope."),
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", "The request is malformed."),
            Self::Undocumented { status, body } => return Reply::new(*status, body.clone()),
        };
        Reply::json(status, &json!({"error": error, "error_description": description}))
    }
}

/// The assertion of a well-formed request.
fn assertion(call: &Call) -> Result<String, OAuthRefusal> {
    if call.head.uri.path() != TOKEN_PATH {
        return Err(OAuthRefusal::Undocumented { status: StatusCode::NOT_FOUND, body: String::new() });
    }
    if call.head.method != Method::POST {
        return Err(OAuthRefusal::Undocumented {
            status: StatusCode::METHOD_NOT_ALLOWED,
            body: String::new(),
        });
    }
    let media_type = call.head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|media_type| media_type.starts_with("application/x-www-form-urlencoded")) {
        return Err(OAuthRefusal::InvalidRequest);
    }
    let form =
        form::parse(&call.body).filter(|_| !call.body_cut_short).ok_or(OAuthRefusal::InvalidRequest)?;
    let field = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    match field("grant_type").as_deref() {
        Some(GRANT_TYPE) => field("assertion").ok_or(OAuthRefusal::InvalidRequest),
        Some(_) => Err(OAuthRefusal::UnsupportedGrantType),
        None => Err(OAuthRefusal::InvalidRequest),
    }
}

/// `aud` is Google's endpoint, or this one under the name that the client called it by.
fn check_audience(jws: &Jws<'_>, head: &Parts) -> Result<(), OAuthRefusal> {
    let host = head
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| head.headers.get(header::HOST).and_then(|value| value.to_str().ok()))
        .unwrap_or_default();
    let own = format!("https://{host}{TOKEN_PATH}");
    match jws.text("aud") {
        Some(audience) if audience == GOOGLE_AUDIENCE || audience == own => Ok(()),
        Some(_) | None => Err(OAuthRefusal::InvalidGrant),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
