//! The configuration as the rest of the product sees it: validated, no texts left to parse.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use crate::networks::Networks;
use tocsin_model::{
    AppName, AppVersion, ClientId, DurationMs, EnrolmentMode, EnrolmentRules, KeyUse, Language,
    MasterKeyName, OperatorName, Platform, ProviderName, PushEnvironment, PushKind, RealmName, TypeName,
    UserIdRule,
};

use crate::authentication_type::AuthenticationType;
use crate::callbacks::{Callbacks, ClientCallbacks};
use crate::fatigue::Ladder;
use crate::texts::Origin;

use crate::dump::Effective;
use crate::mail::SmtpProvider;
use crate::proxy::ProxySettings;
use crate::sms::{HttpSmsProvider, SmsRules, TwilioProvider};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[portal]`: the door of portals and gateways.
    pub portal: Door,
    /// `[device]`: the door of phones.
    pub device: Door,
    /// `[device] skew_s`: how far a phone's clock may be from ours.
    pub device_clock_skew: DurationMs,
    /// `[device] calls_per_address_per_minute_max`: calls of one address in a minute.
    pub device_calls_per_address_per_minute_max: u32,
    /// `[device] server_key_overlap_s`: how long a new server key is published before it signs.
    pub server_key_overlap: DurationMs,
    /// `[device] server_key_retired_s`: how long a retired one goes on signing the published set.
    pub server_key_retired: DurationMs,
    /// `[ops]`: the door of operators and Prometheus.
    pub ops: Door,
    /// `[ops] ready_requires`: providers without which this server is not ready.
    pub ready_requires: Vec<ProviderName>,
    /// `[ops.tokens.NAME]`: who may call it.
    pub operators: BTreeMap<OperatorName, Operator>,
    /// `[device] wrong_codes_…`: how many wrong activation codes an address may send.
    pub wrong_codes: WrongCodeLimit,
    /// `[switches]`.
    pub switches: Switches,
    /// `[log]`.
    pub log: Log,
    /// `[storage]`.
    pub storage: Storage,
    /// `[master_keys.NAME]`: what rows are sealed under; at most one is not old.
    pub master_keys: BTreeMap<MasterKeyName, MasterKeySetting>,
    /// `[engine]`.
    pub engine: EngineLimits,
    /// `[callbacks]`.
    pub callbacks: Callbacks,
    /// `[origin]`: what is shown of where a call comes from.
    pub origin: Origin,
    /// `[proxy]`, where it is enabled.
    pub proxy: Option<ProxySettings>,
    /// Where codes may go by SMS, and how many.
    pub sms: SmsRules,
    /// `[realms.NAME]`.
    pub realms: BTreeMap<RealmName, Realm>,
    /// `[types.NAME]`.
    pub types: BTreeMap<TypeName, AuthenticationType>,
    /// `[apps.NAME]`.
    pub apps: BTreeMap<AppName, App>,
    /// `[providers.NAME]`.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// `[clients.NAME]`.
    pub clients: BTreeMap<ClientId, Arc<Client>>,
    /// All of this as it is shown, with the source of each value; secrets are masked.
    pub effective: Effective,
}

impl Config {
    /// Whether phones of this app may have and use such a key. An app that is configured no more keeps to the keys
    /// that every app has.
    pub fn app_takes(&self, app: &AppName, key_use: &KeyUse) -> bool {
        match self.apps.get(app) {
            Some(app) => app.takes(key_use),
            None => matches!(key_use, KeyUse::Device | KeyUse::Pin),
        }
    }
}

/// One of the three doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The address it listens on. Port 0 takes a free one (tests and demos).
    pub address: SocketAddr,
    /// Its URL as callers see it, without a trailing slash; required off loopback.
    pub public_url: Option<String>,
    /// Off loopback a door needs TLS; `plaintext = "behind-proxy"` says that a proxy in front ends it.
    pub plaintext_behind_proxy: bool,
    /// The certificate that it shows; `None` speaks plain HTTP.
    pub tls: Option<DoorTls>,
    /// Who may say in a header from where a call comes.
    pub trusted_proxies: Networks,
    /// Connections held at once.
    pub connections_max: usize,
    /// Connections held at once from one address; proxies that are trusted are not counted.
    pub connections_per_address_max: usize,
    /// Header fields of one request.
    pub headers_max: usize,
    /// Bytes of the names and values of those fields and of the path.
    pub head_bytes_max: usize,
    /// Longest time for the head of a request, and for a TLS handshake.
    pub head_time_max: DurationMs,
    /// Longest time between the head of a request and the end of its body.
    pub body_time_max: DurationMs,
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
}

/// How many wrong activation codes one client address may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCodeLimit {
    /// So many in a window; the next call is refused until the window ends.
    pub codes_max: u32,
    /// The window, which begins with the first wrong one.
    pub window: DurationMs,
}

/// What is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Everything that portals and phones ask for.
    pub service: bool,
    /// Enrolling phones.
    pub enrollment: bool,
    /// Sending pushes, and so starting what needs them.
    pub sending: bool,
    /// Sending codes by SMS.
    pub sms: bool,
    /// Sending codes by e-mail.
    pub email: bool,
}

/// What a door that speaks TLS reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorTls {
    /// The certificate and its chain, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Whether and which certificates callers show.
    pub client_certificates: Option<ClientCertificates>,
}

/// Which certificates callers show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities that may have issued them, PEM.
    pub ca_file: PathBuf,
    /// Whether a caller without one is refused.
    pub required: bool,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter in the form of `tracing-subscriber`'s `EnvFilter`, such as `info`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Text,
}

/// Where and how state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The folder of the database and of the server's key file.
    pub path: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Changes waiting for the writer; one more is answered `busy`.
    pub commit_queue_max: usize,
    /// Memory for what was read from the disk, blocks and single rows, in bytes.
    pub block_cache_bytes: usize,
    /// RocksDB's write buffers in bytes, all families together.
    pub write_buffer_bytes: usize,
    /// How long a final transaction stays readable.
    pub transaction_retention: DurationMs,
    /// How long an enrolment stays readable after its end.
    pub enrollment_retention: DurationMs,
    /// How long a row of the audit trail is kept.
    pub audit_retention: DurationMs,
    /// Below this free space creates are refused.
    pub disk_free_min_bytes: u64,
}

/// What an acknowledgement of the storage means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The write-ahead log was synced to the disk (fdatasync).
    Sync,
    /// The operating system has it; a power failure may lose the last moments.
    Os,
}

/// The bounds of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Threads that serve portals and phones and run transaction actors.
    pub arbiters: usize,
    /// Open transactions, all together.
    pub transactions_in_flight_max: usize,
    /// Open transactions of one client.
    pub transactions_per_client_max: usize,
    /// Open transactions of one user.
    pub transactions_per_user_max: usize,
    /// Long polls and held calls, all together.
    pub waiters_max: usize,
    /// Long polls and held calls on one transaction.
    pub waiters_per_transaction_max: usize,
    /// Event streams of one client.
    pub event_streams_per_client_max: usize,
    /// Threads that make and check signatures.
    pub signature_threads: usize,
    /// Signatures waiting for such a thread; one more is answered `busy`.
    pub signature_queue_max: usize,
    /// How long a final transaction's actor stays to answer repeated calls from memory.
    pub linger: DurationMs,
    /// How long a shutdown waits for open calls.
    pub drain_grace: DurationMs,
}

/// A name space of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// How spellings of an id become one.
    pub user_id_rule: UserIdRule,
    /// Life of a transaction whose type says nothing.
    pub time_to_live: DurationMs,
    /// The languages of its users, the one for those of whom nothing is known first; empty means all.
    pub languages: Vec<Language>,
    /// Transactions and enrolments that may be started in a minute, all users together.
    pub starts_per_minute_max: u32,
    /// Transactions and enrolments that may be started in a minute for one user.
    pub starts_per_user_per_minute_max: u32,
    /// What follows on pushes that were ignored or refused in a row.
    pub ladder: Ladder,
}

/// A phone app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// How many phones a user may have with it.
    pub mode: EnrolmentMode,
    /// What must vouch for an enrolment.
    pub requires: Requirement,
    /// What must follow it.
    pub confirm: Confirmation,
    /// The iOS app; `None` when there is none.
    pub ios: Option<AppPlatform>,
    /// The Android app; `None` when there is none.
    pub android: Option<AppPlatform>,
    /// Whether each phone gets a server key of its own.
    pub unique_server_keys: bool,
    /// Life of an activation code.
    pub activation_time_to_live: DurationMs,
    /// The host of activation links; `None` takes the issuer's.
    pub activation_host: Option<String>,
    /// The scheme of activation links.
    pub activation_scheme: String,
    /// Wrong PINs in a row that revoke a phone; `None` when none does.
    pub pin_tries_max: Option<NonZeroU32>,
    /// Whether its phones may approve by fingerprint or face.
    pub biometric: bool,
    /// Its own ways of approving, each a [`KeyUse::Custom`].
    pub custom: Vec<KeyUse>,
}

impl App {
    /// Whether its phones may have and use such a key.
    pub fn takes(&self, key_use: &KeyUse) -> bool {
        match key_use {
            KeyUse::Device | KeyUse::Pin => true,
            KeyUse::Biometric => self.biometric,
            KeyUse::Custom(_) => self.custom.contains(key_use),
        }
    }

    /// What the storage judges an enrolment by.
    pub const fn enrolment_rules(&self) -> EnrolmentRules {
        EnrolmentRules { mode: self.mode, confirms_number: matches!(self.confirm, Confirmation::Number) }
    }

    /// Whether an activation code alone is enough to enrol a phone beside or in place of another one.
    pub const fn has_takeover_risk(&self) -> bool {
        let is_guarded = matches!(self.requires, Requirement::AcceptedTransaction)
            || matches!(self.confirm, Confirmation::Number);
        !is_guarded && !matches!(self.mode, EnrolmentMode::Single)
    }

    /// The platform that pushes of this kind go to.
    pub const fn reached_by(&self, kind: PushKind) -> Option<&AppPlatform> {
        match kind {
            PushKind::Apns => self.ios.as_ref(),
            PushKind::FcmToken | PushKind::FcmFid => self.android.as_ref(),
            PushKind::None => None,
        }
    }

    /// Whether this version of the app may be used on this platform.
    pub fn is_version_enabled(&self, platform: Platform, version: &AppVersion) -> bool {
        let platform = match platform {
            Platform::Ios => self.ios.as_ref(),
            Platform::Android => self.android.as_ref(),
            Platform::Other => None,
        };
        platform.and_then(|platform| platform.version(version)).is_none_or(|version| version.enabled)
    }
}

/// What must vouch for an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing but the portal's word.
    None,
    /// A transaction that the same user accepted in the last ten minutes.
    AcceptedTransaction,
}

/// What must follow the registration of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing.
    None,
    /// The number that only the enrolling phone is shown, posted by the portal.
    Number,
}

/// A master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeySetting {
    /// Where it comes from.
    pub source: MasterKeySource,
    /// Whether it only opens what it sealed before; the other one seals.
    pub old: bool,
}

/// Where a master key comes from; each gives 64 hex digits, or 32 bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file that nobody but its owner may use.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// What a program writes: its path and its arguments.
    Command(Vec<String>),
}

/// One platform of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPlatform {
    /// The bundle id (iOS, the APNs topic) or package name (Android).
    pub id: String,
    /// The provider that reaches it.
    pub provider: ProviderName,
    /// Versions that differ, the oldest first.
    pub versions: Vec<PlatformVersion>,
}

/// The versions of an app from one on, up to the next one that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformVersion {
    /// The first of them.
    pub from: AppVersion,
    /// Whether they may be used.
    pub enabled: bool,
    /// Their bundle id or package name.
    pub id: String,
    /// The provider that reaches them.
    pub provider: ProviderName,
}

impl AppPlatform {
    /// The named version that a phone's version belongs to; `None` below the first of them.
    pub fn version(&self, version: &AppVersion) -> Option<&PlatformVersion> {
        self.versions.iter().rev().find(|named| named.from.compare(version).is_le())
    }

    /// By which bundle id or package name, and by which provider, a phone of this version is pushed; `None` when
    /// the version is switched off.
    pub fn push_by(&self, version: &AppVersion) -> Option<(&str, &ProviderName)> {
        match self.version(version) {
            None => Some((&self.id, &self.provider)),
            Some(named) => named.enabled.then_some((named.id.as_str(), &named.provider)),
        }
    }
}

/// A push provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Whether it is the one that apps of its kind use when they name none.
    pub is_default: bool,
    /// The network and its credential.
    pub network: ProviderNetwork,
    /// The proxy on the way there: its own, else that of all.
    pub proxy: Option<ProxySettings>,
    /// Its bounds.
    pub limits: ProviderLimits,
}

/// A push network and the credential for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderNetwork {
    /// Apple Push Notification service.
    Apns(ApnsProvider),
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm(FcmProvider),
    /// Twilio's Messages API.
    Twilio(TwilioProvider),
    /// An SMS gateway that is described by templates.
    HttpSms(HttpSmsProvider),
    /// A mail server.
    Smtp(SmtpProvider),
}

/// A credential for APNs, token-based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsProvider {
    /// Which of Apple's environments.
    pub environment: PushEnvironment,
    /// The base URL; by default Apple's for the environment.
    pub endpoint: String,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// The ten-character team id.
    pub team_id: String,
    /// The ten-character key id.
    pub key_id: String,
    /// The `.p8` file: a P-256 key, PKCS #8 PEM.
    pub key_file: PathBuf,
}

/// A credential for FCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcmProvider {
    /// The base URL; by default Google's.
    pub endpoint: String,
    /// Trust only the certificate authorities of this PEM file instead of the platform's, also for the token URI.
    pub ca_file: Option<PathBuf>,
    /// The service account's JSON file; names project, account, key and token URI.
    pub service_account_file: PathBuf,
    /// Pushes a minute that the project may send.
    pub pushes_per_minute_max: u32,
}

/// The bounds of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLimits {
    /// Connections held at once.
    pub connections_max: usize,
    /// Pushes or messages waiting for a stream or connection; one more is answered `busy`.
    pub queue_max: usize,
    /// Transactions it supervises at once.
    pub supervised_max: usize,
    /// Longest wait for one reply.
    pub request_timeout: DurationMs,
    /// Longest wait for a connection: look-up, TCP, TLS and first SETTINGS.
    pub connect_timeout: DurationMs,
    /// Idle time before a PING asks whether the connection lives; zero for a network without HTTP/2.
    pub ping_interval: DurationMs,
    /// Longest wait for the PING's answer; zero for a network without HTTP/2.
    pub ping_timeout: DurationMs,
    /// Faults in a row that open the breaker.
    pub breaker_faults: u32,
    /// How long the breaker stays open before one push tries again.
    pub breaker_open: DurationMs,
}

/// A client of the portal door.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// SHA-256 of its secret's text, exactly as the client sends it.
    pub secret_sha256: [u8; 32],
    /// The realm of a user named without one.
    pub default_realm: RealmName,
    /// What it may do.
    pub rights: Vec<Right>,
    /// The realms whose users it may ask.
    pub realms: Grant<RealmName>,
    /// The apps it may enrol for and list.
    pub apps: Grant<AppName>,
    /// The types it may start.
    pub types: Grant<TypeName>,
    /// Where it may call from; empty means anywhere.
    pub networks: Networks,
    /// DNS names, one of which its TLS certificate must have; with [`Self::certificate_sha256`] either will do.
    pub certificate_names: Vec<String>,
    /// SHA-256 of the certificates that it may show.
    pub certificate_sha256: Vec<[u8; 32]>,
    /// Calls that it may make in a minute.
    pub calls_per_minute_max: u32,
    /// What it may ask for by `callback_url`.
    pub callbacks: ClientCallbacks,
}

/// The hash is left out: whoever has it can test guesses against it.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_sha256: _, default_realm, rights, realms, apps, types, callbacks, .. } = self;
        formatter
            .debug_struct("Client")
            .field("secret_sha256", &format_args!("[redacted]"))
            .field("default_realm", default_realm)
            .field("rights", rights)
            .field("realms", realms)
            .field("apps", apps)
            .field("types", types)
            .field("callbacks", callbacks)
            .field("networks", &self.networks)
            .field("certificate_names", &self.certificate_names)
            .field("calls_per_minute_max", &self.calls_per_minute_max)
            .finish_non_exhaustive()
    }
}

/// A token of the ops door.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// SHA-256 of the token's text, exactly as it is sent.
    pub token_sha256: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// Where it may call from; empty means anywhere.
    pub networks: Networks,
}

/// The hash is left out: whoever has it can test guesses against it.
impl fmt::Debug for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token_sha256: _, role, networks } = self;
        formatter
            .debug_struct("Operator")
            .field("token_sha256", &format_args!("[redacted]"))
            .field("role", role)
            .field("networks", networks)
            .finish()
    }
}

/// What an operator may do; a later role may do all that the earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything that the ops door shows.
    Read,
    /// Change the running server, too.
    Operate,
}

impl Role {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// A right of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Start, read and cancel transactions.
    Transactions,
    /// Open, read and cancel enrolments.
    Enrollments,
    /// List and remove devices.
    Devices,
    /// Keep user profiles.
    Users,
    /// Fetch codes for delivery by the client itself.
    CustomDelivery,
}

/// What a client may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant<T> {
    /// Everything, spelled `["*"]`.
    All,
    /// These.
    Only(Vec<T>),
}

impl<T: PartialEq> Grant<T> {
    /// Whether `name` is covered.
    pub fn covers(&self, name: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}
