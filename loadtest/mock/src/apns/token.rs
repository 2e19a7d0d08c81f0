//! The provider's JWT: who may push, and what one connection may do with tokens.
//!
//! ```text
//!   first good token ──► binds the connection to its team and key
//!   same token       ──► good while its `iat` is within an hour
//!   another token    ──► good if the present one has been used for 20 minutes; else the connection is
//!                        blocked until then (TooManyProviderTokenUpdates)
//!   expired token    ──► the connection takes no token any more (ExpiredProviderToken)
//! ```
//! The last two are how Apple's servers have been seen to go on: a client has to open a new connection.
//! A signature is verified once per token and connection.

use std::collections::HashMap;
use std::fmt;

use super::{ApnsReason, ApnsRefusal};
use crate::jws::{Jws, JwsAlgorithm};

/// How far `iat` may be from the server's clock, in seconds.
const TOKEN_AGE_MAX_S: u64 = 3_600;
/// How long a token must have been used on a connection before another one is taken.
const TOKEN_USE_MIN_MS: u64 = 20 * 60 * 1_000;
/// Length of a team id and of a key id.
const ID_CHARACTERS: usize = 10;

/// Which of Apple's two services a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApnsEnvironment {
    /// `api.push.apple.com`
    #[default]
    Production,
    /// `api.sandbox.push.apple.com`
    Sandbox,
}

/// Where a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnvironment {
    /// In production and sandbox.
    Both,
    /// Only in one.
    Only(ApnsEnvironment),
}

/// Which bundle ids a key may push to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// All of its team; the mock does not know which those are.
    All,
    /// These.
    Only(Vec<String>),
}

/// A signing key as APNs knows it.
#[derive(Clone)]
pub struct ApnsKey {
    pub(crate) team_id: String,
    pub(crate) key_id: String,
    pub(crate) public_point: Vec<u8>,
    pub(crate) topics: Topics,
    pub(crate) environment: KeyEnvironment,
}

impl ApnsKey {
    /// Whether the key may push to `bundle_id`.
    pub(super) fn allows(&self, bundle_id: &str) -> bool {
        match &self.topics {
            Topics::All => true,
            Topics::Only(bundle_ids) => bundle_ids.iter().any(|own| own == bundle_id),
        }
    }
}

impl fmt::Debug for ApnsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApnsKey")
            .field("team_id", &self.team_id)
            .field("key_id", &self.key_id)
            .field("topics", &self.topics)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// The keys that a server takes tokens of, by key id.
pub(super) type Keys = HashMap<String, ApnsKey>;

/// What a connection has done with tokens.
#[derive(Default)]
pub(super) struct TokenHistory {
    first: Option<Identity>,
    present: Option<PresentToken>,
    spoiled: Option<Spoiled>,
}

#[derive(Clone, PartialEq, Eq)]
struct Identity {
    team_id: String,
    key_id: String,
}

struct PresentToken {
    text: String,
    issued_at_s: u64,
    first_used_ms: u64,
}

#[derive(Clone, Copy)]
enum Spoiled {
    Expired,
    TooManyUpdates { until_ms: u64 },
}

impl TokenHistory {
    /// Checks the value of `authorization` and returns the key it was signed by.
    pub(super) fn check<'k>(
        &mut self,
        authorization: Option<&[u8]>,
        keys: &'k Keys,
        environment: ApnsEnvironment,
        now_ms: u64,
    ) -> Result<&'k ApnsKey, ApnsRefusal> {
        self.not_spoiled(now_ms)?;
        let token = bearer(authorization)?;
        if let Some(present) = self.present.as_ref().filter(|present| present.text == token) {
            let issued_at_s = present.issued_at_s;
            self.fresh(issued_at_s, now_ms)?;
            let key_id = self.first.as_ref().map_or("", |first| first.key_id.as_str());
            return keys.get(key_id).ok_or_else(|| ApnsReason::InvalidProviderToken.into());
        }
        let (key, issued_at_s) = verify(token, keys)?;
        self.fresh(issued_at_s, now_ms)?;
        self.same_identity(key)?;
        if !matches!(key.environment, KeyEnvironment::Both)
            && key.environment != KeyEnvironment::Only(environment)
        {
            return Err(ApnsReason::BadEnvironmentKeyIdInToken.into());
        }
        self.adopt(token, issued_at_s, now_ms)?;
        self.first.get_or_insert_with(|| identity(key));
        Ok(key)
    }

    fn not_spoiled(&mut self, now_ms: u64) -> Result<(), ApnsRefusal> {
        match self.spoiled {
            Some(Spoiled::Expired) => Err(ApnsReason::ExpiredProviderToken.into()),
            Some(Spoiled::TooManyUpdates { until_ms }) if now_ms < until_ms => {
                Err(ApnsReason::TooManyProviderTokenUpdates.into())
            }
            Some(Spoiled::TooManyUpdates { .. }) | None => {
                self.spoiled = None;
                Ok(())
            }
        }
    }

    fn fresh(&mut self, issued_at_s: u64, now_ms: u64) -> Result<(), ApnsRefusal> {
        if issued_at_s.abs_diff(now_ms / 1_000) <= TOKEN_AGE_MAX_S {
            return Ok(());
        }
        self.spoiled = Some(Spoiled::Expired);
        Err(ApnsReason::ExpiredProviderToken.into())
    }

    fn same_identity(&self, key: &ApnsKey) -> Result<(), ApnsRefusal> {
        match &self.first {
            Some(first) if first.team_id != key.team_id => Err(ApnsReason::Forbidden.into()),
            Some(first) if first.key_id != key.key_id => Err(ApnsReason::UnrelatedKeyIdInToken.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn adopt(&mut self, token: &str, issued_at_s: u64, now_ms: u64) -> Result<(), ApnsRefusal> {
        if let Some(present) = &self.present {
            let until_ms = present.first_used_ms + TOKEN_USE_MIN_MS;
            if now_ms < until_ms {
                self.spoiled = Some(Spoiled::TooManyUpdates { until_ms });
                return Err(ApnsReason::TooManyProviderTokenUpdates.into());
            }
        }
        self.present = Some(PresentToken { text: token.to_owned(), issued_at_s, first_used_ms: now_ms });
        Ok(())
    }
}

fn identity(key: &ApnsKey) -> Identity {
    Identity { team_id: key.team_id.clone(), key_id: key.key_id.clone() }
}

fn bearer(authorization: Option<&[u8]>) -> Result<&str, ApnsRefusal> {
    let value = authorization.ok_or(ApnsReason::MissingProviderToken)?;
    let value = std::str::from_utf8(value).map_err(|_| ApnsReason::InvalidProviderToken)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(ApnsReason::MissingProviderToken.into());
    }
    Ok(token)
}

/// Algorithm, ids and signature; returns the key and `iat`.
fn verify<'k>(token: &str, keys: &'k Keys) -> Result<(&'k ApnsKey, u64), ApnsRefusal> {
    let invalid = ApnsReason::InvalidProviderToken;
    let jws = Jws::parse(token).filter(|jws| jws.is(JwsAlgorithm::Es256)).ok_or(invalid)?;
    let key_id = jws.key_id().filter(|key_id| key_id.len() == ID_CHARACTERS).ok_or(invalid)?;
    let key = keys.get(key_id).ok_or(invalid)?;
    let issued_at_s = jws.seconds("iat").ok_or(invalid)?;
    let by_its_team = jws.text("iss") == Some(key.team_id.as_str());
    if by_its_team && jws.verifies(JwsAlgorithm::Es256, &key.public_point) {
        Ok((key, issued_at_s))
    } else {
        Err(invalid.into())
    }
}
