//! Projects, service accounts, and the access tokens given to them.
//!
//! The token endpoint issues, the messaging service looks up; both hold this table.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::FcmRefusal;
use crate::FcmCredential;
use crate::sync::lock;

/// Most access tokens that are remembered; expired ones are forgotten first, then issuing stops.
const ACCESS_TOKENS_MAX: usize = 100_000;
const TOKEN_RANDOM_BYTES: usize = 48;

/// A service account as Google knows it.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) project_id: String,
    pub(super) key_id: String,
    pub(super) public_key_der: Vec<u8>,
    pub(super) is_deleted: bool,
    pub(super) may_send: bool,
}

/// Who may send for what.
#[derive(Default)]
pub(super) struct Access {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<String, Account>,
    tokens: HashMap<String, Grant>,
    issued: u64,
}

struct Grant {
    client_email: String,
    expires_at_ms: u64,
}

impl Access {
    pub(super) fn add_account(&self, credential: &FcmCredential) {
        let account = Account {
            project_id: credential.project_id.clone(),
            key_id: credential.private_key_id.clone(),
            public_key_der: credential.public_key_der().to_vec(),
            is_deleted: false,
            may_send: true,
        };
        lock(&self.state).accounts.insert(credential.client_email.clone(), account);
    }

    pub(super) fn change_account(&self, client_email: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = lock(&self.state).accounts.get_mut(client_email) {
            change(account);
        }
    }

    pub(super) fn account(&self, client_email: &str) -> Option<Account> {
        lock(&self.state).accounts.get(client_email).cloned()
    }

    /// Issues an access token; `None` if none can be made or too many are alive.
    pub(super) fn issue(&self, client_email: &str, now_ms: u64, expires_at_ms: u64) -> Option<String> {
        let mut random = [0; TOKEN_RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).ok()?;
        let token = format!("ya29.{}", URL_SAFE_NO_PAD.encode(random));
        let mut state = lock(&self.state);
        if state.tokens.len() >= ACCESS_TOKENS_MAX {
            state.tokens.retain(|_, grant| grant.expires_at_ms > now_ms);
        }
        if state.tokens.len() >= ACCESS_TOKENS_MAX {
            return None;
        }
        state.tokens.insert(token.clone(), Grant { client_email: client_email.to_owned(), expires_at_ms });
        state.issued += 1;
        Some(token)
    }

    pub(super) fn issued(&self) -> u64 {
        lock(&self.state).issued
    }

    /// Forgets every access token: all holders get 401.
    pub(super) fn revoke_tokens(&self) {
        lock(&self.state).tokens.clear();
    }

    /// Whether the holder of `token` may send for `project_id`.
    pub(super) fn check(&self, token: Option<&str>, project_id: &str, now_ms: u64) -> Result<(), FcmRefusal> {
        let state = lock(&self.state);
        let grant = token
            .and_then(|token| state.tokens.get(token))
            .filter(|grant| grant.expires_at_ms > now_ms)
            .ok_or(FcmRefusal::Unauthenticated)?;
        if !state.accounts.values().any(|account| account.project_id == project_id) {
            return Err(FcmRefusal::ProjectNotFound);
        }
        match state.accounts.get(&grant.client_email) {
            None => Err(FcmRefusal::Unauthenticated),
            Some(account) if account.is_deleted => Err(FcmRefusal::Unauthenticated),
            Some(account) if account.may_send && account.project_id == project_id => Ok(()),
            Some(_) => Err(FcmRefusal::PermissionDenied),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Access").field("issued", &self.issued()).finish_non_exhaustive()
    }
}
