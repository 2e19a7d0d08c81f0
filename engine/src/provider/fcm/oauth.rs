//! The access token of FCM: an assertion for a token, over HTTP/2 or HTTP/1.1 as Google prefers.
//!
//! One connection for one exchange, since there is one in an hour. The whole has a deadline.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tocsin_model::{DurationMs, UnixMs};
use tokio::time::timeout;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::credential::ServiceAccount;
use crate::provider::token::{Mint, MintError, Minted};
use crate::transport::{Connect, Connector};

/// `grant_type`, already percent-encoded; the assertion that follows needs no encoding.
const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A token with less life than this is replaced in the background.
const REFRESH_BEFORE_EXPIRY: DurationMs = DurationMs::from_seconds(5 * 60);
/// Shortest life that is believed, and the longest.
const LIFE_S: std::ops::RangeInclusive<u64> = 60..=24 * 3_600;
/// How much of Google's own explanation goes to the log.
const EXPLANATION_CHARACTERS_MAX: usize = 200;

/// Exchanges assertions for access tokens.
pub(in crate::provider) struct OAuthMint {
    account: ServiceAccount,
    connector: Connector,
    time_limit: Duration,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Grant {
    access_token: String,
    expires_in: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

impl OAuthMint {
    pub(super) fn new(account: ServiceAccount, connector: Connector, time_limit: Duration) -> Self {
        Self { account, connector, time_limit }
    }

    async fn exchange(&self, now: UnixMs) -> Result<Minted, MintError> {
        let assertion = self.account.assertion(now)?;
        let form = Bytes::from([FORM, &assertion].concat());
        let (status, answer) = self.post(form).await.map_err(|fault| {
            tracing::warn!(project = self.account.project_id(), fault = %fault, "no access token: the token endpoint cannot be reached");
            MintError::Unavailable
        })?;
        if status == StatusCode::OK { granted(&answer) } else { Err(refused(status, &answer)) }
    }

    async fn post(&self, form: Bytes) -> Result<(StatusCode, Bytes), Fault> {
        let (stream, _) = self.connector.connect(None).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let request = self.request(form, is_http2)?;
        let io = TokioIo::new(stream);
        // The driving tasks end with their connection, and that with this exchange.
        let response = if is_http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            let _driven = Driven(tokio::spawn(async move { drop(connection.await) }));
            read(sender.send_request(request).await?).await?
        } else {
            let (mut sender, connection) = http1::handshake(io).await?;
            let _driven = Driven(tokio::spawn(async move { drop(connection.await) }));
            read(sender.send_request(request).await?).await?
        };
        Ok(response)
    }

    fn request(&self, form: Bytes, is_http2: bool) -> Result<Request<Full<Bytes>>, http::Error> {
        let endpoint = self.account.token_endpoint();
        let (authority, path) = (endpoint.authority(), endpoint.path());
        let path = if path.is_empty() { "/" } else { path };
        let builder =
            Request::post(if is_http2 { format!("https://{authority}{path}") } else { path.to_owned() });
        let builder = if is_http2 { builder } else { builder.header(HOST, authority.as_str()) };
        builder
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(Full::new(form))
    }
}

impl Mint for OAuthMint {
    /// A second refusal so soon after a new token is not the token's fault, and Google is not to be hammered.
    const REPLACED_AGE_MIN: DurationMs = DurationMs::from_seconds(10);

    /// Google gives as many as are asked for.
    fn credential(&self) -> Option<[u8; 32]> {
        None
    }

    async fn mint(&self, now: UnixMs) -> Result<Minted, MintError> {
        timeout(self.time_limit, self.exchange(now)).await.unwrap_or_else(|_elapsed| {
            tracing::warn!(project = self.account.project_id(), "no access token: no answer in time");
            Err(MintError::Unavailable)
        })
    }
}

/// Ends the task that drives a connection when the exchange is over or given up.
struct Driven(tokio::task::JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why an exchange came to nothing; none of it holds the assertion or the token.
type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn read(response: http::Response<Incoming>) -> Result<(StatusCode, Bytes), Fault> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok((parts.status, body.to_bytes()))
}

fn granted(answer: &[u8]) -> Result<Minted, MintError> {
    let grant: Grant = serde_json::from_slice(answer).map_err(|_| MintError::Unavailable)?;
    let value = HeaderValue::try_from(format!("Bearer {}", grant.access_token));
    let mut authorization = value.map_err(|_| MintError::Unavailable)?;
    authorization.set_sensitive(true);
    let life_s = grant.expires_in.clamp(*LIFE_S.start(), *LIFE_S.end());
    let life = DurationMs::from_seconds(life_s);
    let early = REFRESH_BEFORE_EXPIRY.min(DurationMs::new(life.get() / 2));
    let refresh_age = DurationMs::new(life.get() - early.get());
    Ok(Minted { authorization, refresh_age, expiry_age: life })
}

/// A 4xx is about our account or our clock; what is left is Google's own trouble.
fn refused(status: StatusCode, answer: &[u8]) -> MintError {
    let refusal: Refusal = serde_json::from_slice(answer).unwrap_or_default();
    let short = |text: &str| text.chars().take(EXPLANATION_CHARACTERS_MAX).collect::<String>();
    let (code, explanation) = (short(&refusal.error), short(&refusal.error_description));
    tracing::warn!(
        status = status.as_u16(),
        code,
        explanation,
        "no access token: the token endpoint refuses"
    );
    let is_our_fault = status.is_client_error()
        && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if is_our_fault { MintError::Refused } else { MintError::Unavailable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(answer: &str) -> (u64, u64) {
        let minted = granted(answer.as_bytes()).expect("granted");
        assert!(minted.authorization.is_sensitive());
        (minted.refresh_age.get() / 1_000, minted.expiry_age.get() / 1_000)
    }

    #[test]
    fn a_token_is_replaced_five_minutes_before_its_end() {
        assert_eq!(
            life(r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#),
            (3_299, 3_599)
        );
        assert_eq!(life(r#"{"access_token":"ya29.x","expires_in":300}"#), (150, 300));
    }

    #[test]
    fn an_answer_that_is_no_grant_is_no_token() {
        for answer in ["", "{}", r#"{"access_token":"a\nb","expires_in":3599}"#] {
            assert_eq!(granted(answer.as_bytes()).err(), Some(MintError::Unavailable), "{answer}");
        }
    }

    #[test]
    fn a_refused_account_is_told_from_an_endpoint_in_trouble() {
        let refused = |status: u16| super::refused(StatusCode::from_u16(status).expect("valid"), b"{}");
        assert_eq!([refused(400), refused(401), refused(403)], [MintError::Refused; 3]);
        assert_eq!([refused(429), refused(500), refused(503)], [MintError::Unavailable; 3]);
    }
}
