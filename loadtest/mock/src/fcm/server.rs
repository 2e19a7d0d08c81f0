//! The FCM double and its token endpoint as tests and demos hold them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::access::Access;
use super::oauth::{TOKEN_PATH, TokenService};
use super::service::{FcmService, STREAM_LIMIT};
use super::{FcmRefusal, OAuthRefusal, RegistrationRegister};
use crate::record::PushLog;
use crate::wire::{ConnectionReport, Listener, ListenerSettings, StreamLimits, Traffic};
use crate::{FaultScript, FcmCredential, MockClock, MockError, ServerIdentity, Strictness};

/// The life of an access token that Google typically grants.
const EXPIRES_IN_DEFAULT_S: u64 = 3_599;
const RECORDS_MAX_DEFAULT: usize = 20_000;
/// Google takes HTTP/1.1 as well; its own client libraries still speak it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How an [`FcmServer`] is set up.
#[derive(Debug)]
pub struct FcmOptions {
    /// Where to take sends; port 0 takes a free one.
    pub address: SocketAddr,
    /// Where the token endpoint listens; port 0 takes a free one.
    pub token_address: SocketAddr,
    /// The certificate of both, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// The service accounts; their projects are the ones that exist.
    pub accounts: Vec<FcmCredential>,
    /// The stream limit of each connection.
    pub stream_limit: u32,
    /// Life of an access token in seconds.
    pub expires_in_s: u64,
    /// Whether sends are checked; the token endpoint always checks.
    pub strictness: Strictness,
    /// Most pushes that are kept on record.
    pub records_max: usize,
    /// The clock of both.
    pub clock: MockClock,
}

impl FcmOptions {
    /// A strict server on free ports of 127.0.0.1 that knows no project yet.
    pub fn new(identity: ServerIdentity) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            accounts: Vec::new(),
            stream_limit: STREAM_LIMIT,
            expires_in_s: EXPIRES_IN_DEFAULT_S,
            strictness: Strictness::Strict,
            records_max: RECORDS_MAX_DEFAULT,
            clock: MockClock::new(),
        }
    }

    /// Adds a service account and its project.
    pub fn with_account(mut self, account: FcmCredential) -> Self {
        self.accounts.push(account);
        self
    }
}

/// A running double of FCM with its token endpoint, each on a port of its own as in the world. It stops
/// when dropped; [`Self::stop`] also waits for its end.
pub struct FcmServer {
    service: Arc<FcmService>,
    listener: Listener<FcmService>,
    token_endpoint: TokenEndpoint,
}

/// The token endpoint of an [`FcmServer`].
pub struct TokenEndpoint {
    service: Arc<TokenService>,
    listener: Listener<TokenService>,
}

impl FcmServer {
    /// Starts both on the caller's tokio runtime.
    pub async fn start(options: FcmOptions) -> Result<Self, MockError> {
        let tls = options.identity.tls(&PROTOCOLS)?;
        let access = Arc::new(Access::default());
        options.accounts.iter().for_each(|account| access.add_account(account));
        let service = Arc::new(FcmService {
            strictness: options.strictness,
            stream_limit: options.stream_limit,
            access: Arc::clone(&access),
            registrations: RegistrationRegister::default(),
            faults: FaultScript::new(),
            pushes: PushLog::new(options.strictness == Strictness::Strict, options.records_max),
            clock: options.clock.clone(),
        });
        let token_service = Arc::new(TokenService {
            access,
            clock: options.clock,
            faults: FaultScript::new(),
            expires_in_s: AtomicU64::new(options.expires_in_s),
            refused: AtomicU64::new(0),
        });
        let limits = StreamLimits { first: options.stream_limit, highest: options.stream_limit };
        let settings = ListenerSettings { address: options.address, tls: Arc::clone(&tls), limits };
        let listener = Listener::start(settings, Arc::clone(&service)).await?;
        let limits = StreamLimits { first: STREAM_LIMIT, highest: STREAM_LIMIT };
        let settings = ListenerSettings { address: options.token_address, tls, limits };
        let token_listener = Listener::start(settings, Arc::clone(&token_service)).await?;
        let token_endpoint = TokenEndpoint { service: token_service, listener: token_listener };
        Ok(Self { service, listener, token_endpoint })
    }

    /// Where it takes sends.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Its base address for a client: `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr().port())
    }

    /// The address of the token endpoint, for a service account's `token_uri`.
    pub fn token_uri(&self) -> String {
        self.token_endpoint.uri()
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> &TokenEndpoint {
        &self.token_endpoint
    }

    /// What came, and who listens.
    pub fn pushes(&self) -> &PushLog {
        &self.service.pushes
    }

    /// What it knows of registration tokens and installation ids.
    pub fn registrations(&self) -> &RegistrationRegister {
        &self.service.registrations
    }

    /// What shall go wrong with sends, by target or for the next ones.
    pub fn faults(&self) -> &FaultScript<FcmRefusal> {
        &self.service.faults
    }

    /// The clock of both servers.
    pub fn clock(&self) -> &MockClock {
        &self.service.clock
    }

    /// Adds a service account and its project.
    pub fn add_account(&self, account: &FcmCredential) {
        self.service.access.add_account(account);
    }

    /// Deletes an account: its assertions are `invalid_grant`, its access tokens 401.
    pub fn delete_account(&self, account: &FcmCredential) {
        self.service.access.change_account(&account.client_email, |account| account.is_deleted = true);
    }

    /// Gives an account the right to send, or takes it (403 PERMISSION_DENIED).
    pub fn permit_sending(&self, account: &FcmCredential, may_send: bool) {
        self.service.access.change_account(&account.client_email, |account| account.may_send = may_send);
    }

    /// Makes every access token issued so far worthless: 401.
    pub fn revoke_access_tokens(&self) {
        self.service.access.revoke_tokens();
    }

    /// What the wire has carried, without the token endpoint.
    pub fn traffic(&self) -> Traffic {
        self.listener.traffic()
    }

    /// One report per connection, without the token endpoint.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        self.listener.reports()
    }

    /// Sends GOAWAY with `debug_data` on every connection for sends.
    pub fn go_away_all(&self, debug_data: &str) {
        self.listener.go_away_all(&Bytes::copy_from_slice(debug_data.as_bytes()));
    }

    /// Announces another stream limit on every open connection; the next taken send restores it.
    pub fn announce_stream_limit(&self, limit: u32) {
        self.listener.announce_stream_limit(limit);
    }

    /// Cuts every connection for sends without a word.
    pub fn cut_all(&self) {
        self.listener.cut_all();
    }

    /// Closes the socket for sends; open connections live on.
    pub async fn stop_accepting(&self) {
        self.listener.stop_accepting().await;
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        self.listener.accept_again().await
    }

    /// An outage of sending: closes port and connections, then listens on the same port again.
    pub async fn restart(&self) -> Result<(), MockError> {
        self.listener.stop().await;
        self.listener.accept_again().await
    }

    /// Closes both ports and every connection and waits for their end.
    pub async fn stop(&self) {
        self.listener.stop().await;
        self.token_endpoint.listener.stop().await;
    }
}

impl TokenEndpoint {
    /// Its full address: `https://localhost:PORT/token`.
    pub fn uri(&self) -> String {
        format!("https://localhost:{}{TOKEN_PATH}", self.addr().port())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Access tokens issued since the start.
    pub fn issued(&self) -> u64 {
        self.service.access.issued()
    }

    /// Requests refused since the start.
    pub fn refused(&self) -> u64 {
        self.service.refused.load(Ordering::Acquire)
    }

    /// Sets the life of access tokens issued from now on, in whole seconds.
    pub fn set_expires_in(&self, life: Duration) {
        self.service.expires_in_s.store(life.as_secs(), Ordering::Release);
    }

    /// What shall go wrong with token requests.
    pub fn faults(&self) -> &FaultScript<OAuthRefusal> {
        &self.service.faults
    }

    /// What the wire has carried.
    pub fn traffic(&self) -> Traffic {
        self.listener.traffic()
    }

    /// Cuts every connection without a word.
    pub fn cut_all(&self) {
        self.listener.cut_all();
    }

    /// Closes the socket; open connections live on.
    pub async fn stop_accepting(&self) {
        self.listener.stop_accepting().await;
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        self.listener.accept_again().await
    }
}

impl std::fmt::Debug for FcmServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FcmServer").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TokenEndpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenEndpoint").field("addr", &self.addr()).finish_non_exhaustive()
    }
}
