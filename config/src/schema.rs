//! Every key there is, with the shape of its value and what stands in when nobody sets it.
//!
//! `*` in a pattern stands for a name that the operator gives. Keys of fixed tables have their default in
//! `default.toml`, which is the lowest layer; keys of named tables have it here, and tests hold `default.toml`
//! and this list together.

use tocsin_model::{
    CodeDigits, ContentLimits, EnrolmentMode, MISSES_KEPT_MAX, Method, NumberMatchRule, PushEnvironment,
    UserIdRule,
};

use crate::authentication_type::{DeviceChoice, Purpose, PushText};
use crate::callbacks::CallbackBody;
use crate::fatigue::PendingPush;
use crate::mail::MailSecurity;
use crate::proxy::ProxyScheme;
use crate::shape::{Item, Shape};
use crate::sms::{BodyFormat, GatewayMethod};
use crate::types::{Confirmation, Durability, LogFormat, Requirement, Role};
use crate::word::{CLIENT_CERTIFICATE_WORDS, LOCATION_WORDS, PLAINTEXT_WORDS, ProviderKind, Word};

/// One key.
pub(crate) struct Key {
    /// Its path, such as `realms.*.ttl_s`.
    pub(crate) pattern: &'static str,
    /// What its value looks like.
    pub(crate) shape: Shape,
    /// What happens when nobody sets it.
    pub(crate) need: Need,
    /// The kinds of provider it belongs to; empty when to all.
    pub(crate) kinds: &'static [ProviderKind],
    /// The methods whose types it is valid for; empty when the method does not matter.
    pub(crate) methods: &'static [Method],
}

/// What happens when nobody sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `default.toml` sets it.
    Built,
    /// This value, written as TOML, is taken.
    Else(&'static str),
    /// It stays without a value.
    Optional,
    /// Its table must set it.
    Required,
}

const fn key(pattern: &'static str, shape: Shape, need: Need) -> Key {
    Key { pattern, shape, need, kinds: &[], methods: &[] }
}

/// A key of providers of these kinds.
const fn by(kinds: &'static [ProviderKind], pattern: &'static str, shape: Shape, need: Need) -> Key {
    Key { pattern, shape, need, kinds, methods: &[] }
}

const APNS: &[ProviderKind] = &[ProviderKind::Apns];
const FCM: &[ProviderKind] = &[ProviderKind::Fcm];
const PUSH_NETWORK: &[ProviderKind] = &[ProviderKind::Apns, ProviderKind::Fcm];
const TWILIO: &[ProviderKind] = &[ProviderKind::Twilio];
const HTTP_SMS: &[ProviderKind] = &[ProviderKind::HttpSms];
const SMS_GATEWAY: &[ProviderKind] = &[ProviderKind::Twilio, ProviderKind::HttpSms];
const SMTP: &[ProviderKind] = &[ProviderKind::Smtp];
/// Kinds that may be logged in to with a password.
const WITH_PASSWORD: &[ProviderKind] = &[ProviderKind::HttpSms, ProviderKind::Smtp];
/// Kinds whose service is at a base URL.
const WITH_ENDPOINT: &[ProviderKind] = &[ProviderKind::Apns, ProviderKind::Fcm, ProviderKind::Twilio];

/// A key of types of these methods.
const fn of(methods: &'static [Method], pattern: &'static str, shape: Shape, need: Need) -> Key {
    Key { pattern, shape, need, kinds: &[], methods }
}

const PUSH: &[Method] = &[Method::Push];
const OTP: &[Method] = &[Method::Otp];
const PUSH_OR_OTP: &[Method] = &[Method::Push, Method::Otp];
const PUSH_OR_CODE: &[Method] = &[Method::Push, Method::Sms, Method::Email];
const PUSH_OR_EMAIL: &[Method] = &[Method::Push, Method::Email];
const CODE: &[Method] = &[Method::Sms, Method::Email];
const SMS: &[Method] = &[Method::Sms];

const fn whole(min: u64, max: u64) -> Shape {
    Shape::Integer { min, max }
}

/// Most threads of one pool.
const THREADS_MAX: u64 = 256;
/// Most of anything that is counted and held in memory: connections, waiters, queues.
const HELD_MAX: u64 = 10_000_000;
/// Most calls a minute that a limit can allow.
const PER_MINUTE_MAX: u64 = 100_000_000;
/// Largest request body in bytes; the interface promises that no more than this is ever taken.
const BODY_BYTES_MAX: u64 = 65_536;
/// Largest memory or disk size in bytes.
const SIZE_BYTES_MAX: u64 = 1 << 44;
/// Smallest memory size in bytes.
const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Longest life of a transaction in seconds.
const TIME_TO_LIVE_S_MAX: u64 = 3_600;
/// A day in seconds.
const DAY_S: u64 = 86_400;
/// A year in seconds.
const YEAR_S: u64 = 31_536_000;
/// Longest time-out or pause of a provider in milliseconds.
const PROVIDER_WAIT_MS_MAX: u64 = 60_000;

/// Most pushes in a row that a step of the ladder can ask for.
const MISSES_MAX: u64 = MISSES_KEPT_MAX as u64;
/// Hosts that are reached without a proxy when nobody says otherwise.
const NO_PROXY: &str = "[\"localhost\", \"127.0.0.0/8\", \"::1/128\"]";

const TITLE_CHARACTERS_MAX: usize = ContentLimits::TITLE_CHARACTERS_MAX;
/// Longest template of an origin in characters, its places counted as they are written.
const ORIGIN_CHARACTERS_MAX: usize = 500;
const MESSAGE_CHARACTERS_MAX: usize = ContentLimits::MESSAGE_CHARACTERS_CEILING;

/// All keys, in the order in which they are shown.
pub(crate) static KEYS: &[Key] = &[
    key("portal.address", Shape::Address, Need::Built),
    key("portal.public_url", Shape::PublicUrl, Need::Optional),
    key("portal.plaintext", Shape::Choice(PLAINTEXT_WORDS), Need::Optional),
    key("portal.certificate_file", Shape::File, Need::Optional),
    key("portal.key_file", Shape::File, Need::Optional),
    key("portal.client_ca_file", Shape::File, Need::Optional),
    key("portal.client_certificate", Shape::Choice(CLIENT_CERTIFICATE_WORDS), Need::Built),
    key("portal.connections_max", whole(1, HELD_MAX), Need::Built),
    key("portal.body_bytes_max", whole(1_024, BODY_BYTES_MAX), Need::Built),
    key("portal.trusted_proxies", Shape::List(Item::Network), Need::Built),
    key("portal.connections_per_address_max", whole(1, HELD_MAX), Need::Built),
    key("portal.headers_max", whole(8, 256), Need::Built),
    key("portal.head_bytes_max", whole(1_024, 65_536), Need::Built),
    key("portal.head_timeout_ms", whole(100, 60_000), Need::Built),
    key("portal.body_timeout_ms", whole(100, 300_000), Need::Built),
    key("device.address", Shape::Address, Need::Built),
    key("device.public_url", Shape::PublicUrl, Need::Optional),
    key("device.plaintext", Shape::Choice(PLAINTEXT_WORDS), Need::Optional),
    key("device.certificate_file", Shape::File, Need::Optional),
    key("device.key_file", Shape::File, Need::Optional),
    key("device.connections_max", whole(1, HELD_MAX), Need::Built),
    key("device.body_bytes_max", whole(1_024, BODY_BYTES_MAX), Need::Built),
    key("device.trusted_proxies", Shape::List(Item::Network), Need::Built),
    key("device.connections_per_address_max", whole(1, HELD_MAX), Need::Built),
    key("device.headers_max", whole(8, 256), Need::Built),
    key("device.head_bytes_max", whole(1_024, 65_536), Need::Built),
    key("device.head_timeout_ms", whole(100, 60_000), Need::Built),
    key("device.body_timeout_ms", whole(100, 300_000), Need::Built),
    key("device.calls_per_address_per_minute_max", whole(1, PER_MINUTE_MAX), Need::Built),
    key("device.skew_s", whole(1, 600), Need::Built),
    key("device.wrong_codes_max", whole(1, 1_000_000), Need::Built),
    key("device.wrong_codes_window_s", whole(1, 86_400), Need::Built),
    key("device.server_key_overlap_s", whole(0, YEAR_S), Need::Built),
    key("device.server_key_retired_s", whole(86_400, 10 * YEAR_S), Need::Built),
    key("ops.address", Shape::Address, Need::Built),
    key("ops.public_url", Shape::PublicUrl, Need::Optional),
    key("ops.plaintext", Shape::Choice(PLAINTEXT_WORDS), Need::Optional),
    key("ops.certificate_file", Shape::File, Need::Optional),
    key("ops.key_file", Shape::File, Need::Optional),
    key("ops.connections_max", whole(1, HELD_MAX), Need::Built),
    key("ops.body_bytes_max", whole(1_024, BODY_BYTES_MAX), Need::Built),
    key("ops.trusted_proxies", Shape::List(Item::Network), Need::Built),
    key("ops.connections_per_address_max", whole(1, HELD_MAX), Need::Built),
    key("ops.headers_max", whole(8, 256), Need::Built),
    key("ops.head_bytes_max", whole(1_024, 65_536), Need::Built),
    key("ops.head_timeout_ms", whole(100, 60_000), Need::Built),
    key("ops.body_timeout_ms", whole(100, 300_000), Need::Built),
    key("ops.ready_requires", Shape::List(Item::Name), Need::Built),
    key("ops.tokens.*.sha256", Shape::Digest, Need::Required),
    key("ops.tokens.*.role", Shape::Choice(Role::WORDS), Need::Else("\"read\"")),
    key("ops.tokens.*.networks", Shape::List(Item::Network), Need::Else("[]")),
    key("log.filter", Shape::Text { characters_max: 500 }, Need::Built),
    key("log.format", Shape::Choice(LogFormat::WORDS), Need::Built),
    key("switches.service", Shape::Flag, Need::Built),
    key("switches.enrollment", Shape::Flag, Need::Built),
    key("switches.sending", Shape::Flag, Need::Built),
    key("switches.sms", Shape::Flag, Need::Built),
    key("switches.email", Shape::Flag, Need::Built),
    key("storage.path", Shape::Folder, Need::Built),
    key("storage.durability", Shape::Choice(Durability::WORDS), Need::Built),
    key("storage.commit_queue_max", whole(1, HELD_MAX), Need::Built),
    key("storage.block_cache_bytes", whole(MEMORY_BYTES_MIN, SIZE_BYTES_MAX), Need::Built),
    key("storage.write_buffer_bytes", whole(MEMORY_BYTES_MIN, SIZE_BYTES_MAX), Need::Built),
    key("storage.transaction_retention_s", whole(60, YEAR_S), Need::Built),
    key("storage.enrollment_retention_s", whole(60, YEAR_S), Need::Built),
    key("storage.audit_retention_s", whole(DAY_S, 10 * YEAR_S), Need::Built),
    key("storage.disk_free_min_bytes", whole(0, SIZE_BYTES_MAX), Need::Built),
    key("master_keys.*.file", Shape::SecretFile, Need::Optional),
    key("master_keys.*.environment", Shape::Variable, Need::Optional),
    key("master_keys.*.command", Shape::List(Item::Argument), Need::Optional),
    key("master_keys.*.old", Shape::Flag, Need::Else("false")),
    key("engine.arbiters", whole(1, THREADS_MAX), Need::Built),
    key("engine.transactions_in_flight_max", whole(1, HELD_MAX), Need::Built),
    key("engine.transactions_per_client_max", whole(1, HELD_MAX), Need::Built),
    key("engine.transactions_per_user_max", whole(1, 10_000), Need::Built),
    key("engine.waiters_max", whole(1, HELD_MAX), Need::Built),
    key("engine.waiters_per_transaction_max", whole(1, 1_000), Need::Built),
    key("engine.event_streams_per_client_max", whole(1, HELD_MAX), Need::Built),
    key("engine.signature_threads", whole(1, THREADS_MAX), Need::Built),
    key("engine.signature_queue_max", whole(1, HELD_MAX), Need::Built),
    key("engine.linger_ms", whole(0, 600_000), Need::Built),
    key("engine.drain_grace_s", whole(0, 3_600), Need::Built),
    key("callbacks.window_s", whole(1, 30 * DAY_S), Need::Built),
    key("callbacks.try_timeout_ms", whole(100, PROVIDER_WAIT_MS_MAX), Need::Built),
    key("callbacks.backoff_first_ms", whole(10, 300_000), Need::Built),
    key("callbacks.backoff_longest_ms", whole(10, 3_600_000), Need::Built),
    key("callbacks.tries_in_flight_max", whole(1, 10_000), Need::Built),
    key("callbacks.tries_per_host_max", whole(1, 1_000), Need::Built),
    key("callbacks.ca_file", Shape::File, Need::Optional),
    key("texts.languages", Shape::List(Item::Language), Need::Built),
    key("origin.template", Shape::Text { characters_max: ORIGIN_CHARACTERS_MAX }, Need::Built),
    key("origin.location", Shape::Choice(LOCATION_WORDS), Need::Built),
    key("origin.database_file", Shape::File, Need::Optional),
    key("origin.texts.*.template", Shape::Text { characters_max: ORIGIN_CHARACTERS_MAX }, Need::Required),
    key("origin.service.url", Shape::LocationUrl, Need::Optional),
    key("origin.service.key", Shape::Password, Need::Optional),
    key("origin.service.ca_file", Shape::File, Need::Optional),
    key("origin.service.timeout_ms", whole(50, 5_000), Need::Built),
    key("origin.service.cache_s", whole(0, 30 * DAY_S), Need::Built),
    key("origin.service.cache_entries_max", whole(1, HELD_MAX), Need::Built),
    key("origin.service.calls_in_flight_max", whole(1, 10_000), Need::Built),
    key("origin.service.country_code", Shape::FieldPath, Need::Built),
    key("origin.service.region", Shape::FieldPath, Need::Built),
    key("origin.service.city", Shape::FieldPath, Need::Built),
    key("callbacks.use_proxy", Shape::Flag, Need::Built),
    key("proxy.enabled", Shape::Flag, Need::Built),
    key("proxy.preemptive", Shape::Flag, Need::Built),
    key("proxy.username", Shape::Text { characters_max: 200 }, Need::Optional),
    key("proxy.password", Shape::Password, Need::Optional),
    key("proxy.password_file", Shape::CredentialFile, Need::Optional),
    key("proxy.scheme", Shape::Choice(ProxyScheme::WORDS), Need::Built),
    key("proxy.host", Shape::BareHost, Need::Optional),
    key("proxy.port", whole(1, 65_535), Need::Built),
    key("proxy.no_proxy", Shape::List(Item::NoProxy), Need::Built),
    key("proxy.ca_file", Shape::File, Need::Optional),
    key("sms.country_prefixes", Shape::List(Item::CountryPrefix), Need::Optional),
    key("sms.refused_prefixes", Shape::List(Item::CountryPrefix), Need::Optional),
    key("sms.sends_per_number_per_hour_max", whole(1, 1_000), Need::Built),
    key("sms.sends_per_prefix_per_hour_max", whole(1, HELD_MAX), Need::Built),
    key("sms.sends_per_client_per_hour_max", whole(1, HELD_MAX), Need::Built),
    key("realms.*.user_id_rule", Shape::Choice(UserIdRule::WORDS), Need::Else("\"exact\"")),
    key("realms.*.ttl_s", whole(1, TIME_TO_LIVE_S_MAX), Need::Else("60")),
    key("realms.*.languages", Shape::List(Item::Language), Need::Else("[]")),
    key("realms.*.starts_per_minute_max", whole(1, PER_MINUTE_MAX), Need::Else("600000")),
    key("realms.*.starts_per_user_per_minute_max", whole(1, PER_MINUTE_MAX), Need::Else("60")),
    key("realms.*.ladder_number_match_after", whole(0, MISSES_MAX), Need::Else("0")),
    key("realms.*.ladder_other_method_after", whole(0, MISSES_MAX), Need::Else("0")),
    key("realms.*.ladder_block_after", whole(0, MISSES_MAX), Need::Else("0")),
    key("realms.*.ladder_block_s", whole(1, DAY_S), Need::Else("900")),
    key("types.*.method", Shape::Choice(Method::WORDS), Need::Else("\"push\"")),
    key("types.*.ttl_s", whole(1, TIME_TO_LIVE_S_MAX), Need::Optional),
    of(
        PUSH_OR_EMAIL,
        "types.*.default_title",
        Shape::Text { characters_max: TITLE_CHARACTERS_MAX },
        Need::Else("\"Please confirm\""),
    ),
    of(
        PUSH_OR_CODE,
        "types.*.default_message",
        Shape::Text { characters_max: MESSAGE_CHARACTERS_MAX },
        Need::Optional,
    ),
    of(PUSH_OR_CODE, "types.*.message_max", whole(1, MESSAGE_CHARACTERS_MAX as u64), Need::Else("155")),
    of(PUSH_OR_CODE, "types.*.message_required", Shape::Flag, Need::Else("false")),
    of(PUSH_OR_OTP, "types.*.show_origin", Shape::Flag, Need::Else("false")),
    key("types.*.texts.*.title", Shape::Text { characters_max: TITLE_CHARACTERS_MAX }, Need::Optional),
    key("types.*.texts.*.message", Shape::Text { characters_max: MESSAGE_CHARACTERS_MAX }, Need::Optional),
    of(PUSH_OR_OTP, "types.*.apps", Shape::List(Item::Name), Need::Else("[]")),
    of(OTP, "types.*.realms", Shape::List(Item::Name), Need::Else("[]")),
    of(PUSH_OR_OTP, "types.*.keys", Shape::List(Item::KeyUse), Need::Else("[\"device\"]")),
    of(PUSH, "types.*.push_text", Shape::Choice(PushText::WORDS), Need::Else("\"loc-keys\"")),
    of(PUSH, "types.*.device_choice", Shape::Choice(DeviceChoice::WORDS), Need::Else("\"all\"")),
    of(PUSH, "types.*.purpose", Shape::Choice(Purpose::WORDS), Need::Optional),
    of(PUSH, "types.*.number_match", Shape::Choice(NumberMatchRule::WORDS), Need::Optional),
    of(CODE, "types.*.digits", whole(CodeDigits::MIN as u64, CodeDigits::MAX as u64), Need::Else("6")),
    of(CODE, "types.*.attempts_max", whole(0, 100), Need::Required),
    of(CODE, "types.*.gateways", Shape::List(Item::Name), Need::Else("[]")),
    of(SMS, "types.*.autofill_domain", Shape::DomainName, Need::Optional),
    of(PUSH_OR_CODE, "types.*.resends_max", whole(0, 100), Need::Else("2")),
    of(PUSH_OR_CODE, "types.*.resend_gap_s", whole(0, TIME_TO_LIVE_S_MAX), Need::Else("10")),
    of(PUSH, "types.*.keep_for_polling", Shape::Flag, Need::Else("false")),
    of(PUSH_OR_CODE, "types.*.fallback", Shape::Name, Need::Optional),
    of(PUSH_OR_CODE, "types.*.fallback_after_s", whole(1, TIME_TO_LIVE_S_MAX), Need::Optional),
    of(PUSH, "types.*.pending_push", Shape::Choice(PendingPush::WORDS), Need::Optional),
    of(PUSH, "types.*.push_gap_s", whole(0, TIME_TO_LIVE_S_MAX), Need::Else("0")),
    of(PUSH_OR_OTP, "types.*.report_lock_s", whole(0, YEAR_S), Need::Optional),
    key("apps.*.mode", Shape::Choice(EnrolmentMode::WORDS), Need::Else("\"single\"")),
    key("apps.*.requires", Shape::Choice(Requirement::WORDS), Need::Else("\"none\"")),
    key("apps.*.confirm", Shape::Choice(Confirmation::WORDS), Need::Else("\"none\"")),
    key("apps.*.unique_server_keys", Shape::Flag, Need::Else("false")),
    key("apps.*.activation_ttl_s", whole(30, 86_400), Need::Else("300")),
    key("apps.*.activation_host", Shape::Host, Need::Optional),
    key("apps.*.activation_scheme", Shape::Scheme, Need::Else("\"https\"")),
    key("apps.*.pin_attempts_max", whole(0, 100), Need::Else("3")),
    key("apps.*.biometric", Shape::Flag, Need::Else("false")),
    key("apps.*.custom", Shape::List(Item::CustomId), Need::Else("[]")),
    key("apps.*.ios.bundle_id", Shape::BundleId, Need::Optional),
    key("apps.*.ios.provider", Shape::Name, Need::Optional),
    key("apps.*.ios.versions.*.from", Shape::AppVersion, Need::Required),
    key("apps.*.ios.versions.*.enabled", Shape::Flag, Need::Else("true")),
    key("apps.*.ios.versions.*.bundle_id", Shape::BundleId, Need::Optional),
    key("apps.*.ios.versions.*.provider", Shape::Name, Need::Optional),
    key("apps.*.android.package", Shape::PackageName, Need::Required),
    key("apps.*.android.provider", Shape::Name, Need::Optional),
    key("apps.*.android.versions.*.from", Shape::AppVersion, Need::Required),
    key("apps.*.android.versions.*.enabled", Shape::Flag, Need::Else("true")),
    key("apps.*.android.versions.*.package", Shape::PackageName, Need::Optional),
    key("apps.*.android.versions.*.provider", Shape::Name, Need::Optional),
    key("providers.*.kind", Shape::Choice(ProviderKind::WORDS), Need::Required),
    key("providers.*.default", Shape::Flag, Need::Else("false")),
    by(APNS, "providers.*.environment", Shape::Choice(PushEnvironment::WORDS), Need::Else("\"production\"")),
    by(APNS, "providers.*.team_id", Shape::AppleId, Need::Required),
    by(APNS, "providers.*.key_id", Shape::AppleId, Need::Required),
    by(APNS, "providers.*.key_file", Shape::CredentialFile, Need::Required),
    by(FCM, "providers.*.service_account_file", Shape::CredentialFile, Need::Required),
    by(FCM, "providers.*.pushes_per_minute_max", whole(1, 100_000_000), Need::Else("600000")),
    by(TWILIO, "providers.*.account_sid", Shape::TwilioSid("AC"), Need::Required),
    by(TWILIO, "providers.*.auth_token_file", Shape::CredentialFile, Need::Required),
    by(TWILIO, "providers.*.api_key_sid", Shape::TwilioSid("SK"), Need::Optional),
    by(TWILIO, "providers.*.api_key_secret_file", Shape::CredentialFile, Need::Optional),
    by(TWILIO, "providers.*.messaging_service_sid", Shape::TwilioSid("MG"), Need::Optional),
    by(TWILIO, "providers.*.status_reports", Shape::Flag, Need::Optional),
    by(HTTP_SMS, "providers.*.url", Shape::GatewayUrl, Need::Required),
    by(HTTP_SMS, "providers.*.http_method", Shape::Choice(GatewayMethod::WORDS), Need::Else("\"POST\"")),
    by(HTTP_SMS, "providers.*.body_format", Shape::Choice(BodyFormat::WORDS), Need::Else("\"form\"")),
    by(HTTP_SMS, "providers.*.body", Shape::Template, Need::Optional),
    by(HTTP_SMS, "providers.*.headers", Shape::List(Item::Header), Need::Else("[]")),
    by(WITH_PASSWORD, "providers.*.username", Shape::Text { characters_max: 100 }, Need::Optional),
    by(WITH_PASSWORD, "providers.*.password", Shape::Password, Need::Optional),
    by(HTTP_SMS, "providers.*.token_file", Shape::CredentialFile, Need::Optional),
    by(HTTP_SMS, "providers.*.token_header", Shape::HeaderName, Need::Optional),
    by(HTTP_SMS, "providers.*.answer_pointer", Shape::JsonPointer, Need::Optional),
    by(HTTP_SMS, "providers.*.success_statuses", Shape::List(Item::Status), Need::Else("[\"2xx\"]")),
    by(HTTP_SMS, "providers.*.success_pattern", Shape::Pattern, Need::Optional),
    by(HTTP_SMS, "providers.*.permanent_statuses", Shape::List(Item::Status), Need::Else("[]")),
    by(HTTP_SMS, "providers.*.permanent_pattern", Shape::Pattern, Need::Optional),
    by(HTTP_SMS, "providers.*.unclear_statuses", Shape::List(Item::Status), Need::Else("[]")),
    by(SMS_GATEWAY, "providers.*.from", Shape::Text { characters_max: 50 }, Need::Optional),
    by(SMS_GATEWAY, "providers.*.resend_unknown", Shape::Flag, Need::Else("false")),
    by(SMTP, "providers.*.host", Shape::BareHost, Need::Required),
    by(SMTP, "providers.*.port", whole(1, 65_535), Need::Optional),
    by(SMTP, "providers.*.security", Shape::Choice(MailSecurity::WORDS), Need::Else("\"implicit\"")),
    by(SMTP, "providers.*.password_file", Shape::CredentialFile, Need::Optional),
    by(SMTP, "providers.*.sender", Shape::EmailAddress, Need::Required),
    by(SMTP, "providers.*.sender_name", Shape::Text { characters_max: 100 }, Need::Optional),
    by(SMTP, "providers.*.hello", Shape::DomainName, Need::Optional),
    by(WITH_ENDPOINT, "providers.*.endpoint", Shape::Endpoint, Need::Optional),
    key("providers.*.ca_file", Shape::File, Need::Optional),
    key("providers.*.connections_max", whole(1, 64), Need::Else("4")),
    key("providers.*.queue_max", whole(1, HELD_MAX), Need::Else("10000")),
    key("providers.*.supervised_max", whole(1, HELD_MAX), Need::Else("100000")),
    key("providers.*.request_timeout_ms", whole(100, PROVIDER_WAIT_MS_MAX), Need::Else("5000")),
    key("providers.*.connect_timeout_ms", whole(100, PROVIDER_WAIT_MS_MAX), Need::Else("5000")),
    by(PUSH_NETWORK, "providers.*.ping_interval_ms", whole(100, 3_600_000), Need::Else("60000")),
    by(PUSH_NETWORK, "providers.*.ping_timeout_ms", whole(100, PROVIDER_WAIT_MS_MAX), Need::Else("10000")),
    key("providers.*.breaker_faults", whole(1, 1_000), Need::Else("5")),
    key("providers.*.breaker_open_ms", whole(1, PROVIDER_WAIT_MS_MAX), Need::Else("5000")),
    key("providers.*.proxy.enabled", Shape::Flag, Need::Else("false")),
    key("providers.*.proxy.preemptive", Shape::Flag, Need::Else("false")),
    key("providers.*.proxy.username", Shape::Text { characters_max: 200 }, Need::Optional),
    key("providers.*.proxy.password", Shape::Password, Need::Optional),
    key("providers.*.proxy.password_file", Shape::CredentialFile, Need::Optional),
    key("providers.*.proxy.scheme", Shape::Choice(ProxyScheme::WORDS), Need::Else("\"http\"")),
    key("providers.*.proxy.host", Shape::BareHost, Need::Optional),
    key("providers.*.proxy.port", whole(1, 65_535), Need::Else("8080")),
    key("providers.*.proxy.no_proxy", Shape::List(Item::NoProxy), Need::Else(NO_PROXY)),
    key("providers.*.proxy.ca_file", Shape::File, Need::Optional),
    key("clients.*.secret_sha256", Shape::Digest, Need::Required),
    key("clients.*.default_realm", Shape::Name, Need::Optional),
    key("clients.*.rights", Shape::List(Item::Right), Need::Else("[\"transactions\"]")),
    key("clients.*.realms", Shape::List(Item::NameOrAll), Need::Else("[]")),
    key("clients.*.apps", Shape::List(Item::NameOrAll), Need::Else("[]")),
    key("clients.*.types", Shape::List(Item::NameOrAll), Need::Else("[]")),
    key("clients.*.networks", Shape::List(Item::Network), Need::Else("[]")),
    key("clients.*.certificate_names", Shape::List(Item::HostName), Need::Else("[]")),
    key("clients.*.certificate_sha256", Shape::List(Item::Digest), Need::Else("[]")),
    key("clients.*.calls_per_minute_max", whole(1, PER_MINUTE_MAX), Need::Else("600000")),
    key("clients.*.webhook_secrets", Shape::WebhookSecrets, Need::Else("[]")),
    key("clients.*.callback_allow_list", Shape::Flag, Need::Else("true")),
    key("clients.*.callback_networks", Shape::List(Item::Network), Need::Else("[]")),
    key("clients.*.callbacks.*.url", Shape::CallbackUrl, Need::Required),
    key("clients.*.callbacks.*.body", Shape::Choice(CallbackBody::WORDS), Need::Else("\"id\"")),
    key("clients.*.callbacks.*.username", Shape::Text { characters_max: 200 }, Need::Optional),
    key("clients.*.callbacks.*.password", Shape::Password, Need::Optional),
];

impl Key {
    /// Its last segment.
    pub(crate) fn leaf(&self) -> &'static str {
        self.pattern.rsplit('.').next().unwrap_or(self.pattern)
    }

    /// The pattern of its table.
    pub(crate) fn table(&self) -> &'static str {
        self.pattern.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

/// The key at this path, if there is one.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.pattern, path))
}

/// The keys whose table is at this path.
pub(crate) fn keys_of(table: &[String]) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| matches(key.table(), table))
}

/// What may stand directly in the table at this path, `*` for a name; empty when there is no such table.
pub(crate) fn children(table: &[String]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let mut segments = key.pattern.split('.');
        let is_above = table.iter().all(|name| segments.next().is_some_and(|segment| fits(segment, name)));
        if let Some(next) = segments.next()
            && is_above
            && !names.contains(&next)
        {
            names.push(next);
        }
    }
    names
}

/// Where the section of this path stands among the sections.
pub(crate) fn order_of(path: &[String]) -> usize {
    let section_of = |key: &Key| key.pattern.split('.').next().map(str::to_owned);
    KEYS.iter().position(|key| section_of(key).as_ref() == path.first()).unwrap_or(KEYS.len())
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let segments = pattern.split('.');
    segments.clone().count() == path.len() && segments.zip(path).all(|(segment, name)| fits(segment, name))
}

fn fits(segment: &str, name: &str) -> bool {
    segment == "*" || segment == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_key_is_found_by_its_path_and_no_other() {
        assert_eq!(find(&path("realms.retail.ttl_s")).map(|key| key.pattern), Some("realms.*.ttl_s"));
        for unknown in ["realms.retail", "realms.retail.ttl", "realms.ttl_s", "portal.address.x"] {
            assert!(find(&path(unknown)).is_none(), "{unknown}");
        }
    }

    #[test]
    fn children_are_the_next_segments() {
        assert_eq!(children(&path("apps")), ["*"]);
        assert_eq!(
            children(&path("apps.bank")),
            [
                "mode",
                "requires",
                "confirm",
                "unique_server_keys",
                "activation_ttl_s",
                "activation_host",
                "activation_scheme",
                "pin_attempts_max",
                "biometric",
                "custom",
                "ios",
                "android"
            ]
        );
        assert!(children(&path("apps.bank.windows")).is_empty());
        assert!(children(&[]).contains(&"storage"));
    }

    #[test]
    fn no_key_is_listed_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.pattern != key.pattern), "{}", key.pattern);
        }
    }
}
