//! What APNs knows of device tokens.
//!
//! Keys are compared in lower case: hex digits mean the same in either.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ApnsReason, ApnsRefusal};
use crate::MockError;
use crate::sync::lock;

/// Most tokens a register holds.
const TOKENS_MAX: usize = 4_000_000;

/// What becomes of a well-formed token that nobody registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownTokens {
    /// It is taken as one of whatever app is pushed to.
    #[default]
    Accept,
    /// It is refused with BadDeviceToken.
    Refuse,
}

/// The device tokens that APNs knows something of.
pub struct DeviceRegister {
    tokens: Mutex<HashMap<String, DeviceToken>>,
    refuses_unknown: AtomicBool,
}

struct DeviceToken {
    bundle_id: Option<String>,
    state: TokenState,
}

#[derive(Clone, Copy)]
enum TokenState {
    Alive,
    Bad,
    Dead { reason: ApnsReason, since_ms: u64 },
}

impl DeviceRegister {
    pub(super) fn new(unknown_tokens: UnknownTokens) -> Self {
        let register = Self { tokens: Mutex::default(), refuses_unknown: AtomicBool::new(false) };
        register.treat_unknown(unknown_tokens);
        register
    }

    /// Says what becomes of unknown tokens from now on.
    pub fn treat_unknown(&self, unknown_tokens: UnknownTokens) {
        self.refuses_unknown.store(unknown_tokens == UnknownTokens::Refuse, Ordering::Release);
    }

    /// A phone has installed the app `bundle_id` and has this token (again).
    pub fn register(&self, token: &str, bundle_id: &str) -> Result<(), MockError> {
        let bundle_id = Some(bundle_id.to_owned());
        self.enter(token, DeviceToken { bundle_id, state: TokenState::Alive })
    }

    /// The app was removed: 410 Unregistered, as of `since_ms` (Unix milliseconds).
    pub fn unregister(&self, token: &str, since_ms: u64) -> Result<(), MockError> {
        self.kill(token, ApnsReason::Unregistered, since_ms)
    }

    /// The token has expired: 410 ExpiredToken, as of `since_ms`.
    pub fn expire(&self, token: &str, since_ms: u64) -> Result<(), MockError> {
        self.kill(token, ApnsReason::ExpiredToken, since_ms)
    }

    /// The token is of the other environment: 400 BadDeviceToken.
    pub fn mark_bad(&self, token: &str) -> Result<(), MockError> {
        self.enter(token, DeviceToken { bundle_id: None, state: TokenState::Bad })
    }

    /// Forgets the token: it is unknown again.
    pub fn forget(&self, token: &str) {
        lock(&self.tokens).remove(&token.to_ascii_lowercase());
    }

    /// Whether a push to `token` for the app `bundle_id` is taken.
    pub(super) fn check(&self, token: &str, bundle_id: &str) -> Result<(), ApnsRefusal> {
        let tokens = lock(&self.tokens);
        let Some(known) = tokens.get(&token.to_ascii_lowercase()) else {
            let refused = self.refuses_unknown.load(Ordering::Acquire);
            return if refused { Err(ApnsReason::BadDeviceToken.into()) } else { Ok(()) };
        };
        match known.state {
            TokenState::Bad => Err(ApnsReason::BadDeviceToken.into()),
            _ if known.bundle_id.as_deref().is_some_and(|own| own != bundle_id) => {
                Err(ApnsReason::DeviceTokenNotForTopic.into())
            }
            TokenState::Dead { reason, since_ms } => Err(ApnsRefusal::dead(reason, since_ms)),
            TokenState::Alive => Ok(()),
        }
    }

    fn kill(&self, token: &str, reason: ApnsReason, since_ms: u64) -> Result<(), MockError> {
        let bundle_id =
            lock(&self.tokens).get(&token.to_ascii_lowercase()).and_then(|known| known.bundle_id.clone());
        self.enter(token, DeviceToken { bundle_id, state: TokenState::Dead { reason, since_ms } })
    }

    fn enter(&self, token: &str, entry: DeviceToken) -> Result<(), MockError> {
        let mut tokens = lock(&self.tokens);
        if tokens.len() >= TOKENS_MAX {
            return Err(MockError::Full { what: "the register of device tokens", max: TOKENS_MAX });
        }
        tokens.insert(token.to_ascii_lowercase(), entry);
        Ok(())
    }
}

impl fmt::Debug for DeviceRegister {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DeviceRegister").field("tokens", &lock(&self.tokens).len()).finish()
    }
}
