//! Who calls: HTTP Basic (RFC 7617) with a client's id and secret, or both in a form, and what that client may do.
//!
//! Who sends no `Authorization` header and a form is authenticated by the form, so that only such a body is read
//! before its sender is known. Who sends both must say the same twice.
//!
//! Only the SHA-256 of a secret is known. It is compared in constant time, also for an unknown client, against a
//! hash that nothing has, so that a reply's time tells neither a secret nor which clients there are.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tocsin_config::{Client, Config, Right, certificate_is_for};
use tocsin_model::{AppName, ClientId, ErrorCode, Problem, RealmName, Secret, TypeName, User};

use hyper::header;

use crate::door::{
    Body, DoorError, DoorState, Payload, RefusedFor, Request, certificate_of, coding_of, is_form, read_body,
};

/// Longest `Authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 1_024;

/// The fields of a form that say who calls.
const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";

/// A client that has proved itself.
///
/// It keeps the configuration that it was judged by, so that a reload in the midst of a call changes nothing for it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) id: ClientId,
    pub(super) client: Arc<Client>,
    pub(super) config: Arc<Config>,
}

/// What a client says of itself.
#[derive(Debug)]
struct Credentials {
    id: String,
    secret: Secret<String>,
}

impl Caller {
    /// The client that makes this call, if it has `right`: 401 `invalid_client`, 403 `not_permitted`.
    pub(super) fn with_right(state: &DoorState, request: &Request, right: Right) -> Result<Self, Problem> {
        Self::of(state, request)?.let_do(right)
    }

    /// The client that makes this call, whatever it may do: 401 `invalid_client`.
    pub(super) fn of(state: &DoorState, request: &Request) -> Result<Self, Problem> {
        let credentials = credentials_of(request);
        let caller = Self::authenticate(state.handle.config(), credentials).ok_or_else(unauthenticated)?;
        caller.let_in(state, request)
    }

    /// The client that makes this call, if it has `right`, and the body that it sends.
    pub(super) async fn with_body(
        state: &DoorState,
        request: &Request,
        payload: Payload,
        right: Right,
    ) -> Result<(Self, Body), DoorError> {
        let by_form = !request.headers().contains_key(header::AUTHORIZATION) && is_form(request.headers());
        if by_form {
            return Self::of_form(state, request, payload, right).await;
        }
        let caller = Self::with_right(state, request, right)?;
        let mut body = read(state, request, payload).await?;
        let (id, secret) = (body.take_of_form(CLIENT_ID), body.take_of_form(CLIENT_SECRET));
        if id.is_some() || secret.is_some() {
            caller.check_said_twice(credentials_of(request), id, secret)?;
        }
        Ok((caller, body))
    }

    async fn of_form(
        state: &DoorState,
        request: &Request,
        payload: Payload,
        right: Right,
    ) -> Result<(Self, Body), DoorError> {
        let mut body = read(state, request, payload).await?;
        let (id, secret) = (body.take_of_form(CLIENT_ID), body.take_of_form(CLIENT_SECRET));
        let credentials = id.zip(secret).map(|(id, secret)| Credentials { id, secret: Secret::new(secret) });
        let caller = Self::authenticate(state.handle.config(), credentials).ok_or_else(unauthenticated)?;
        Ok((caller.let_in(state, request)?.let_do(right)?, body))
    }

    /// Whether what the form says beside the header is the same: one call has one sender (RFC 6749, section 2.3).
    fn check_said_twice(
        &self,
        header: Option<Credentials>,
        id: Option<String>,
        secret: Option<String>,
    ) -> Result<(), Problem> {
        let said = header.map(|header| Credentials {
            id: id.unwrap_or(header.id),
            secret: secret.map_or(header.secret, Secret::new),
        });
        let again = Self::authenticate(Arc::clone(&self.config), said);
        if again.is_some_and(|again| again.id == self.id) {
            return Ok(());
        }
        let detail =
            "the form names another client or secret than the Authorization header; send one of the two";
        Err(Problem::new(ErrorCode::InvalidClient, detail))
    }

    fn let_in(self, state: &DoorState, request: &Request) -> Result<Self, Problem> {
        self.admit(state, request)?;
        state.refuse_while_off()?;
        Ok(self)
    }

    fn let_do(self, right: Right) -> Result<Self, Problem> {
        self.must_have(right).map(|()| self)
    }

    /// 403 `not_permitted` for a client without this right.
    pub(super) fn must_have(&self, right: Right) -> Result<(), Problem> {
        if self.client.rights.contains(&right) {
            return Ok(());
        }
        Err(Problem::new(ErrorCode::NotPermitted, "the client does not have the right for this call"))
    }

    fn authenticate(config: Arc<Config>, credentials: Option<Credentials>) -> Option<Self> {
        let Credentials { id, secret } = credentials?;
        let known = id.parse::<ClientId>().ok().and_then(|id| config.clients.get_key_value(&id));
        // No text has the hash of zeros, as far as anybody knows.
        let expected = known.map_or([0; 32], |(_, client)| client.secret_sha256);
        let sent = digest(&SHA256, secret.expose().as_bytes());
        let fits = verify_slices_are_equal(sent.as_ref(), &expected).is_ok();
        let (id, client) = known?;
        let (id, client) = (id.clone(), Arc::clone(client));
        fits.then_some(Self { id, client, config })
    }

    /// What a client with the right secret must keep to: its certificate (401 `invalid_client`), its networks (403
    /// `address_not_allowed`), its rate (429 `rate_limited`).
    fn admit(&self, state: &DoorState, request: &Request) -> Result<(), Problem> {
        if !self.shows_certificate(request) {
            state.metrics.refused(state.name, RefusedFor::Certificate);
            tracing::warn!(
                who = self.id.as_str(),
                "called without the certificate that the client is bound to"
            );
            let detail = "the client must show its own certificate by TLS";
            return Err(Problem::new(ErrorCode::InvalidClient, detail));
        }
        state.check_address(request, &self.client.networks, self.id.as_str())?;
        state.check_rate(state.rates.client(&self.id, &self.client))
    }

    /// Whether the client is bound to no certificate, or the caller showed one of its own.
    fn shows_certificate(&self, request: &Request) -> bool {
        let Client { certificate_names: names, certificate_sha256: hashes, .. } = &*self.client;
        if names.is_empty() && hashes.is_empty() {
            return true;
        }
        certificate_of(request).is_some_and(|shown| {
            let hash = digest(&SHA256, shown);
            hashes.iter().any(|known| known == hash.as_ref())
                || names.iter().any(|name| certificate_is_for(shown, name))
        })
    }

    /// 429 `rate_limited` where more is started for this user, or in its realm, than may be in a minute. What is
    /// started for nobody yet counts in the client's default realm.
    pub(super) fn check_start(&self, state: &DoorState, user: Option<&User>) -> Result<(), Problem> {
        let name = user.map_or(&self.client.default_realm, |user| &user.realm);
        let Some(realm) = self.config.realms.get(name) else {
            return Ok(());
        };
        state.check_rate(state.rates.start(name, user.map(|user| &user.id), realm))
    }

    /// Whether users of this realm exist for the client.
    pub(super) fn sees_realm(&self, realm: &RealmName) -> bool {
        self.client.realms.covers(realm) && self.config.realms.contains_key(realm)
    }

    /// The type of this name: 403 `not_permitted`, or 422 `unknown_type` for a client that may start every type.
    pub(super) fn permitted_type(&self, name: &str) -> Result<TypeName, Problem> {
        let unknown = || Problem::new(ErrorCode::UnknownType, "no such type is configured");
        let parsed = name.parse::<TypeName>().ok();
        let found = match (&parsed, &self.client.types) {
            (_, tocsin_config::Grant::All) => {
                parsed.filter(|name| self.config.types.contains_key(name)).ok_or_else(unknown)
            }
            (Some(name), granted) if granted.covers(name) => Ok(name.clone()),
            (_, tocsin_config::Grant::Only(_)) => {
                Err(Problem::new(ErrorCode::NotPermitted, "the client may not start this type"))
            }
        };
        found.map_err(|problem| problem.with_field("type"))
    }

    /// The app of this name: 403 `not_permitted`, or 422 `invalid_field` for a client that may name every app.
    pub(super) fn permitted_app(&self, name: &str) -> Result<AppName, Problem> {
        let parsed = name.parse::<AppName>().ok();
        let covered = |name: &AppName| self.client.apps.covers(name);
        let problem = match parsed {
            Some(name) if covered(&name) && self.config.apps.contains_key(&name) => return Ok(name),
            _ if self.client.apps == tocsin_config::Grant::All => {
                Problem::new(ErrorCode::InvalidField, "no such app is configured")
            }
            _ => Problem::new(ErrorCode::NotPermitted, "the client may not name this app"),
        };
        Err(problem.with_field("app"))
    }
}

fn unauthenticated() -> Problem {
    let detail = "send the client's id and secret by HTTP Basic, or as client_id and client_secret in a form";
    Problem::new(ErrorCode::InvalidClient, detail)
}

async fn read(state: &DoorState, request: &Request, payload: Payload) -> Result<Body, DoorError> {
    let coding = coding_of(request)?;
    let bytes = read_body(state, request, payload).await?;
    Ok(Body::parse(&bytes, coding)?)
}

/// What the `Authorization` header says, if there is one and no more.
fn credentials_of(request: &Request) -> Option<Credentials> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let only = headers.next().filter(|_| headers.next().is_none());
    only.and_then(|value| value.to_str().ok()).and_then(credentials)
}

/// Reads `Basic base64(id:secret)`; the scheme's name has no case.
fn credentials(value: &str) -> Option<Credentials> {
    if value.len() > AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Secret::new(STANDARD.decode(encoded.trim_start_matches(' ')).ok()?);
    let text = std::str::from_utf8(decoded.expose()).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some(Credentials { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_first_colon_ends_the_id() {
        let read = credentials(&basic("portal:a:b")).expect("credentials");
        assert_eq!((read.id.as_str(), read.secret.expose().as_str()), ("portal", "a:b"));
        assert!(credentials(&basic("portal:").replace("Basic", "bASIC")).is_some());
    }

    #[test]
    fn anything_else_is_no_credentials() {
        for bad in
            ["", "Basic", "Basic ", "Basic !!!", "Bearer abc", &basic("no colon"), &basic(&"a:b".repeat(400))]
        {
            assert!(credentials(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let read = credentials(&basic("portal:hunter2"));
        assert!(!format!("{read:?}").contains("hunter2"));
    }
}
