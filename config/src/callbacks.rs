//! How callbacks are delivered, and what each client may ask for. Part of the typed configuration.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use tocsin_model::{CallbackUrl, DurationMs, Secret};
use zeroize::Zeroizing;

/// What every webhook secret begins with (Standard Webhooks).
pub(crate) const WEBHOOK_SECRET_PREFIX: &str = "whsec_";

/// Length of a webhook secret's key in bytes (Standard Webhooks).
const WEBHOOK_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Most webhook secrets of one client: the present one, and the next or last one while it rotates.
pub(crate) const WEBHOOK_SECRETS_MAX: usize = 2;

/// `[callbacks]`: how callbacks are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callbacks {
    /// How long a callback is tried before it is dead.
    pub window: DurationMs,
    /// Longest time of one try.
    pub try_timeout: DurationMs,
    /// The wait after the first failed try; it doubles, with jitter.
    pub backoff_first: DurationMs,
    /// The longest wait between two tries.
    pub backoff_longest: DurationMs,
    /// Tries at once, all hosts together.
    pub tries_in_flight_max: usize,
    /// Tries at once to one host.
    pub tries_per_host_max: usize,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Whether they go through the proxy of `[proxy]`, where that is enabled.
    pub use_proxy: bool,
}

/// What a client may ask for by `callback_url`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCallbacks {
    /// What its callbacks are signed with, each of them by all; two while one rotates.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// Whether a URL must be one of the entries, byte for byte.
    pub allow_list: bool,
    /// Private networks that its callbacks may reach all the same.
    pub networks: Vec<IpNet>,
    /// URLs with settings of their own.
    pub entries: Vec<CallbackEntry>,
}

impl ClientCallbacks {
    /// The entry with exactly this URL.
    pub fn entry(&self, url: &CallbackUrl) -> Option<&CallbackEntry> {
        self.entries.iter().find(|entry| entry.url == *url)
    }
}

/// `[clients.NAME.callbacks.NAME]`: a URL with settings of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackEntry {
    /// The URL, byte for byte.
    pub url: CallbackUrl,
    /// What is posted there.
    pub body: CallbackBody,
    /// What is sent with it by HTTP Basic.
    pub basic: Option<BasicCredentials>,
}

/// What is posted to a callback URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallbackBody {
    /// The transaction's id; the portal then reads the view.
    #[default]
    Id,
    /// Id and state.
    State,
    /// The view.
    Full,
}

/// What a webhook is signed with. The key is never printed.
#[derive(Clone)]
pub struct WebhookSecret(Secret<Vec<u8>>);

impl WebhookSecret {
    /// Reads `whsec_` and the key in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(WEBHOOK_SECRET_PREFIX)?;
        let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        WEBHOOK_KEY_BYTES.contains(&key.len()).then(|| Self(Secret::new(key.to_vec())))
    }

    /// The key of the signature.
    pub fn key(&self) -> &[u8] {
        self.0.expose()
    }
}

impl PartialEq for WebhookSecret {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for WebhookSecret {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret([redacted])")
    }
}

/// User name and password of HTTP Basic (RFC 7617).
#[derive(Clone, Debug)]
pub struct BasicCredentials {
    /// The user name, without a colon.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}

impl PartialEq for BasicCredentials {
    fn eq(&self, other: &Self) -> bool {
        self.username == other.username && self.password.expose() == other.password.expose()
    }
}

impl Eq for BasicCredentials {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_secret_has_24_to_64_bytes_in_base64() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7_u8; bytes]));
        assert_eq!(WebhookSecret::parse(&secret(24)).expect("valid").key(), [7; 24]);
        assert!(WebhookSecret::parse(&secret(64)).is_some());
        for bad in
            [secret(23), secret(65), "whsec_".to_owned(), "whsec_!".to_owned(), STANDARD.encode([7; 32])]
        {
            assert!(WebhookSecret::parse(&bad).is_none(), "{bad}");
        }
        let shown = format!("{:?}", WebhookSecret::parse(&secret(24)));
        assert!(!shown.contains('7'), "{shown}");
    }
}
