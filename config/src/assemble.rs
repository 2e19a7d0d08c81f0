//! Makes the [`Config`] from settings in which no fault was found. Nothing is judged here any more; a value
//! that is still missing or unfit means that the schema and this file disagree, which tests rule out.

mod authentication_type;
mod gateway;
mod texts;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tocsin_model::{AppVersion, CallbackUrl, DurationMs, EmailAddress, KeyUse, PushEnvironment};

use self::authentication_type::authentication_type;
use self::gateway::{http_sms, sms_rules, twilio};

use crate::callbacks::{BasicCredentials, CallbackEntry, Callbacks, ClientCallbacks};
use crate::check::{PLATFORMS, defaults};
use crate::dump::Effective;
use crate::fatigue::Ladder;
use crate::login::{Login, PasswordSource};
use crate::mail::SmtpProvider;
use crate::networks::Networks;
use crate::path::KeyPath;
use crate::proxy::{NoProxy, ProxySettings};
use crate::settings::Settings;
use crate::shape::{Value, hex_digest};
use crate::types::{
    ApnsProvider, App, AppPlatform, Client, ClientCertificates, Config, Door, DoorTls, EngineLimits,
    FcmProvider, Grant, Log, MasterKeySetting, MasterKeySource, Operator, PlatformVersion, Provider,
    ProviderLimits, ProviderNetwork, Realm, Right, Storage, Switches, WrongCodeLimit,
};
use crate::word::{ProviderKind, Word};

/// The key whose value was not what its schema says.
pub(crate) struct Unfit(pub(crate) KeyPath);

/// Makes the configuration.
pub(crate) fn assemble(settings: &Settings) -> Result<Config, Unfit> {
    let section = |name: &str| Table { settings, path: KeyPath::of(&[name]) };
    Ok(Config {
        portal: door(&section("portal"))?,
        device: door(&section("device"))?,
        device_clock_skew: section("device").seconds("skew_s")?,
        wrong_codes: wrong_codes(&section("device"))?,
        switches: switches(&section("switches"))?,
        device_calls_per_address_per_minute_max: section("device")
            .small_count("calls_per_address_per_minute_max")?,
        server_key_overlap: section("device").seconds("server_key_overlap_s")?,
        server_key_retired: section("device").seconds("server_key_retired_s")?,
        ops: door(&section("ops"))?,
        ready_requires: section("ops").list("ready_requires", |text| text.parse().ok())?,
        operators: made_of(settings, settings.operators(), operator)?,
        log: log(&section("log"))?,
        storage: storage(&section("storage"))?,
        master_keys: named(settings, "master_keys", master_key)?,
        engine: engine(&section("engine"))?,
        callbacks: callbacks(&section("callbacks"))?,
        origin: texts::origin(&section("origin"))?,
        proxy: proxy(&section("proxy"))?,
        sms: sms_rules(&section("sms"))?,
        realms: named(settings, "realms", realm)?,
        types: named(settings, "types", authentication_type)?,
        apps: named(settings, "apps", app)?,
        providers: named(settings, "providers", provider)?,
        clients: named(settings, "clients", |table| client(table).map(Arc::new))?,
        effective: Effective::new(settings),
    })
}

fn named<N: FromStr + Ord, T>(
    settings: &Settings,
    section: &str,
    make: fn(&Table<'_>) -> Result<T, Unfit>,
) -> Result<BTreeMap<N, T>, Unfit> {
    made_of(settings, settings.named(section), make)
}

fn made_of<'s, N: FromStr + Ord, T>(
    settings: &'s Settings,
    tables: impl Iterator<Item = (&'s str, KeyPath)>,
    make: fn(&Table<'_>) -> Result<T, Unfit>,
) -> Result<BTreeMap<N, T>, Unfit> {
    let mut made = BTreeMap::new();
    for (name, path) in tables {
        let name = name.parse().map_err(|_| Unfit(path.clone()))?;
        made.insert(name, make(&Table { settings, path })?);
    }
    Ok(made)
}

fn door(table: &Table<'_>) -> Result<Door, Unfit> {
    let address = match table.value("address")? {
        Value::Address(address) => *address,
        _ => return Err(table.unfit("address")),
    };
    Ok(Door {
        address,
        public_url: table.optional_text("public_url"),
        plaintext_behind_proxy: table.optional_text("plaintext").is_some(),
        tls: door_tls(table)?,
        trusted_proxies: table.networks("trusted_proxies")?,
        connections_max: table.count("connections_max")?,
        connections_per_address_max: table.count("connections_per_address_max")?,
        headers_max: table.count("headers_max")?,
        head_bytes_max: table.count("head_bytes_max")?,
        head_time_max: table.milliseconds("head_timeout_ms")?,
        body_time_max: table.milliseconds("body_timeout_ms")?,
        body_bytes_max: table.count("body_bytes_max")?,
    })
}

fn door_tls(table: &Table<'_>) -> Result<Option<DoorTls>, Unfit> {
    let Some(certificate_file) = table.optional_file("certificate_file") else {
        return Ok(None);
    };
    let key_file = table.optional_file("key_file").ok_or_else(|| table.unfit("key_file"))?;
    let required = table.optional_text("client_certificate").is_some_and(|word| word == "required");
    let client_certificates =
        table.optional_file("client_ca_file").map(|ca_file| ClientCertificates { ca_file, required });
    Ok(Some(DoorTls { certificate_file, key_file, client_certificates }))
}

fn log(table: &Table<'_>) -> Result<Log, Unfit> {
    Ok(Log { filter: table.text("filter")?, format: table.word("format")? })
}

fn storage(table: &Table<'_>) -> Result<Storage, Unfit> {
    Ok(Storage {
        path: table.optional_file("path").ok_or_else(|| table.unfit("path"))?,
        durability: table.word("durability")?,
        commit_queue_max: table.count("commit_queue_max")?,
        block_cache_bytes: table.count("block_cache_bytes")?,
        write_buffer_bytes: table.count("write_buffer_bytes")?,
        transaction_retention: table.seconds("transaction_retention_s")?,
        enrollment_retention: table.seconds("enrollment_retention_s")?,
        audit_retention: table.seconds("audit_retention_s")?,
        disk_free_min_bytes: table.integer("disk_free_min_bytes")?,
    })
}

fn master_key(table: &Table<'_>) -> Result<MasterKeySetting, Unfit> {
    let file = table.optional_file("file").map(MasterKeySource::File);
    let variable = || table.optional_text("environment").map(MasterKeySource::Environment);
    let source = match file.or_else(variable) {
        Some(source) => source,
        None => MasterKeySource::Command(table.list("command", |text| Some(text.to_owned()))?),
    };
    Ok(MasterKeySetting { source, old: table.flag("old")? })
}

fn engine(table: &Table<'_>) -> Result<EngineLimits, Unfit> {
    Ok(EngineLimits {
        arbiters: table.count("arbiters")?,
        transactions_in_flight_max: table.count("transactions_in_flight_max")?,
        transactions_per_client_max: table.count("transactions_per_client_max")?,
        transactions_per_user_max: table.count("transactions_per_user_max")?,
        waiters_max: table.count("waiters_max")?,
        waiters_per_transaction_max: table.count("waiters_per_transaction_max")?,
        event_streams_per_client_max: table.count("event_streams_per_client_max")?,
        signature_threads: table.count("signature_threads")?,
        signature_queue_max: table.count("signature_queue_max")?,
        linger: table.milliseconds("linger_ms")?,
        drain_grace: table.seconds("drain_grace_s")?,
    })
}

fn callbacks(table: &Table<'_>) -> Result<Callbacks, Unfit> {
    Ok(Callbacks {
        window: table.seconds("window_s")?,
        try_timeout: table.milliseconds("try_timeout_ms")?,
        backoff_first: table.milliseconds("backoff_first_ms")?,
        backoff_longest: table.milliseconds("backoff_longest_ms")?,
        tries_in_flight_max: table.count("tries_in_flight_max")?,
        tries_per_host_max: table.count("tries_per_host_max")?,
        ca_file: table.optional_file("ca_file"),
        use_proxy: table.flag("use_proxy")?,
    })
}

fn client_callbacks(client: &Table<'_>) -> Result<ClientCallbacks, Unfit> {
    let webhook_secrets = match client.value("webhook_secrets")? {
        Value::WebhookSecrets(secrets) => secrets.clone(),
        _ => return Err(client.unfit("webhook_secrets")),
    };
    let entries = client.settings.callback_entries(&client.path);
    Ok(ClientCallbacks {
        webhook_secrets,
        allow_list: client.flag("callback_allow_list")?,
        networks: client.list("callback_networks", |text| text.parse().ok())?,
        entries: entries
            .map(|path| callback_entry(&Table { settings: client.settings, path }))
            .collect::<Result<_, _>>()?,
    })
}

fn callback_entry(table: &Table<'_>) -> Result<CallbackEntry, Unfit> {
    let password = match table.settings.value(&table.path.child("password")) {
        Some(Value::Password(password)) => Some(password.clone()),
        _ => None,
    };
    let basic = table.optional_text("username").zip(password);
    Ok(CallbackEntry {
        url: CallbackUrl::parse(&table.text("url")?).map_err(|_| table.unfit("url"))?,
        body: table.word("body")?,
        basic: basic.map(|(username, password)| BasicCredentials { username, password }),
    })
}

fn realm(table: &Table<'_>) -> Result<Realm, Unfit> {
    Ok(Realm {
        user_id_rule: table.word("user_id_rule")?,
        time_to_live: table.seconds("ttl_s")?,
        languages: table.list("languages", |text| text.parse().ok())?,
        starts_per_minute_max: table.small_count("starts_per_minute_max")?,
        starts_per_user_per_minute_max: table.small_count("starts_per_user_per_minute_max")?,
        ladder: ladder(table)?,
    })
}

fn wrong_codes(table: &Table<'_>) -> Result<WrongCodeLimit, Unfit> {
    Ok(WrongCodeLimit {
        codes_max: table.small_count("wrong_codes_max")?,
        window: table.seconds("wrong_codes_window_s")?,
    })
}

fn switches(table: &Table<'_>) -> Result<Switches, Unfit> {
    Ok(Switches {
        service: table.flag("service")?,
        enrollment: table.flag("enrollment")?,
        sending: table.flag("sending")?,
        sms: table.flag("sms")?,
        email: table.flag("email")?,
    })
}

fn app(table: &Table<'_>) -> Result<App, Unfit> {
    let [(ios, apns), (android, fcm)] = PLATFORMS;
    Ok(App {
        mode: table.word("mode")?,
        requires: table.word("requires")?,
        confirm: table.word("confirm")?,
        ios: platform(table, ios, "bundle_id", apns)?,
        android: platform(table, android, "package", fcm)?,
        unique_server_keys: table.flag("unique_server_keys")?,
        activation_time_to_live: table.seconds("activation_ttl_s")?,
        activation_host: table.optional_text("activation_host"),
        activation_scheme: table.text("activation_scheme")?,
        pin_tries_max: NonZeroU32::new(table.small_count("pin_attempts_max")?),
        biometric: table.flag("biometric")?,
        custom: table.list("custom", |id| KeyUse::parse(&format!("custom:{id}")))?,
    })
}

fn ladder(table: &Table<'_>) -> Result<Ladder, Unfit> {
    let step = |key: &str| table.small_count(key).map(NonZeroU32::new);
    Ok(Ladder {
        number_match_after: step("ladder_number_match_after")?,
        other_method_after: step("ladder_other_method_after")?,
        block_after: step("ladder_block_after")?,
        block: table.seconds("ladder_block_s")?,
    })
}

fn platform(
    app: &Table<'_>,
    name: &str,
    id_key: &str,
    kind: ProviderKind,
) -> Result<Option<AppPlatform>, Unfit> {
    let table = Table { settings: app.settings, path: app.path.child(name) };
    if !table.settings.has_table(&table.path) {
        return Ok(None);
    }
    let by_default = || defaults(table.settings, kind).first().map(|name| (*name).to_owned());
    let provider = table.optional_text("provider").or_else(by_default);
    let provider = provider.and_then(|name| name.parse().ok()).ok_or_else(|| table.unfit("provider"))?;
    let mut platform = AppPlatform { id: table.text(id_key)?, provider, versions: Vec::new() };
    for (_, path) in table.settings.below(&table.path.child("versions")) {
        let version = Table { settings: table.settings, path };
        platform.versions.push(platform_version(&version, id_key, &platform)?);
    }
    platform.versions.sort_by(|one, other| one.from.compare(&other.from));
    Ok(Some(platform))
}

/// What a version does not say is as the platform has it.
fn platform_version(
    table: &Table<'_>,
    id_key: &str,
    platform: &AppPlatform,
) -> Result<PlatformVersion, Unfit> {
    let provider = match table.optional_text("provider") {
        Some(name) => name.parse().map_err(|_| table.unfit("provider"))?,
        None => platform.provider.clone(),
    };
    Ok(PlatformVersion {
        from: AppVersion::new(&table.text("from")?).ok_or_else(|| table.unfit("from"))?,
        enabled: table.flag("enabled")?,
        id: table.optional_text(id_key).unwrap_or_else(|| platform.id.clone()),
        provider,
    })
}

fn provider(table: &Table<'_>) -> Result<Provider, Unfit> {
    let network = match table.word("kind")? {
        ProviderKind::Apns => ProviderNetwork::Apns(ApnsProvider {
            environment: table.word::<PushEnvironment>("environment")?,
            endpoint: table.text("endpoint")?,
            ca_file: table.optional_file("ca_file"),
            team_id: table.text("team_id")?,
            key_id: table.text("key_id")?,
            key_file: table.optional_file("key_file").ok_or_else(|| table.unfit("key_file"))?,
        }),
        ProviderKind::Fcm => ProviderNetwork::Fcm(FcmProvider {
            endpoint: table.text("endpoint")?,
            ca_file: table.optional_file("ca_file"),
            service_account_file: table
                .optional_file("service_account_file")
                .ok_or_else(|| table.unfit("service_account_file"))?,
            pushes_per_minute_max: table.small_count("pushes_per_minute_max")?,
        }),
        ProviderKind::Twilio => ProviderNetwork::Twilio(twilio(table)?),
        ProviderKind::HttpSms => ProviderNetwork::HttpSms(http_sms(table)?),
        ProviderKind::Smtp => ProviderNetwork::Smtp(smtp(table)?),
    };
    let is_mail = matches!(network, ProviderNetwork::Smtp(_));
    let own_proxy = Table { settings: table.settings, path: table.path.child("proxy") };
    let has_own = table.settings.has_table(&own_proxy.path);
    let common_proxy = Table { settings: table.settings, path: KeyPath::of(&["proxy"]) };
    Ok(Provider {
        is_default: table.flag("default")?,
        network,
        // Mail goes straight.
        proxy: if is_mail { None } else { proxy(if has_own { &own_proxy } else { &common_proxy })? },
        limits: provider_limits(table)?,
    })
}

fn smtp(table: &Table<'_>) -> Result<SmtpProvider, Unfit> {
    Ok(SmtpProvider {
        host: table.text("host")?,
        port: u16::try_from(table.integer("port")?).map_err(|_| table.unfit("port"))?,
        security: table.word("security")?,
        login: login(table),
        sender: EmailAddress::parse(&table.text("sender")?).ok_or_else(|| table.unfit("sender"))?,
        sender_name: table.optional_text("sender_name"),
        hello: table.text("hello")?,
        ca_file: table.optional_file("ca_file"),
    })
}

/// User name and password, the latter from its file where it is in one.
fn login(table: &Table<'_>) -> Option<Login> {
    let password = match table.settings.value(&table.path.child("password")) {
        Some(Value::Password(password)) => Some(PasswordSource::Value(password.clone())),
        _ => table.optional_file("password_file").map(PasswordSource::File),
    };
    let (username, password) = table.optional_text("username").zip(password)?;
    Some(Login { username, password })
}

/// The proxy of this table, where it is enabled.
fn proxy(table: &Table<'_>) -> Result<Option<ProxySettings>, Unfit> {
    if !table.flag("enabled")? {
        return Ok(None);
    }
    let no_proxy = table.list("no_proxy", |text| Some(text.to_owned()))?;
    Ok(Some(ProxySettings {
        scheme: table.word("scheme")?,
        host: table.text("host")?,
        port: u16::try_from(table.integer("port")?).map_err(|_| table.unfit("port"))?,
        credentials: login(table),
        is_preemptive: table.flag("preemptive")?,
        no_proxy: NoProxy::of(no_proxy.iter().map(String::as_str)),
        ca_file: table.optional_file("ca_file"),
    }))
}

fn provider_limits(table: &Table<'_>) -> Result<ProviderLimits, Unfit> {
    Ok(ProviderLimits {
        connections_max: table.count("connections_max")?,
        queue_max: table.count("queue_max")?,
        supervised_max: table.count("supervised_max")?,
        request_timeout: table.milliseconds("request_timeout_ms")?,
        connect_timeout: table.milliseconds("connect_timeout_ms")?,
        ping_interval: table.optional_milliseconds("ping_interval_ms")?,
        ping_timeout: table.optional_milliseconds("ping_timeout_ms")?,
        breaker_faults: table.small_count("breaker_faults")?,
        breaker_open: table.milliseconds("breaker_open_ms")?,
    })
}

fn operator(table: &Table<'_>) -> Result<Operator, Unfit> {
    Ok(Operator {
        token_sha256: table.digest("sha256")?,
        role: table.word("role")?,
        networks: table.networks("networks")?,
    })
}

fn client(table: &Table<'_>) -> Result<Client, Unfit> {
    let default_realm = table.text("default_realm")?.parse().map_err(|_| table.unfit("default_realm"))?;
    Ok(Client {
        secret_sha256: table.digest("secret_sha256")?,
        default_realm,
        rights: table.list("rights", Right::parse)?,
        realms: table.grant("realms")?,
        apps: table.grant("apps")?,
        types: table.grant("types")?,
        networks: table.networks("networks")?,
        certificate_names: table.list("certificate_names", |text| Some(text.to_owned()))?,
        certificate_sha256: table.list("certificate_sha256", hex_digest)?,
        calls_per_minute_max: table.small_count("calls_per_minute_max")?,
        callbacks: client_callbacks(table)?,
    })
}

/// One table of the settings, read key by key.
struct Table<'a> {
    settings: &'a Settings,
    path: KeyPath,
}

impl Table<'_> {
    fn unfit(&self, key: &str) -> Unfit {
        Unfit(self.path.child(key))
    }

    fn is_set(&self, key: &str) -> bool {
        self.settings.is_set(&self.path.child(key))
    }

    fn value(&self, key: &str) -> Result<&Value, Unfit> {
        self.settings.value(&self.path.child(key)).ok_or_else(|| self.unfit(key))
    }

    fn integer(&self, key: &str) -> Result<u64, Unfit> {
        self.settings.integer(&self.path.child(key)).ok_or_else(|| self.unfit(key))
    }

    fn count(&self, key: &str) -> Result<usize, Unfit> {
        usize::try_from(self.integer(key)?).map_err(|_| self.unfit(key))
    }

    fn small_count(&self, key: &str) -> Result<u32, Unfit> {
        u32::try_from(self.integer(key)?).map_err(|_| self.unfit(key))
    }

    fn seconds(&self, key: &str) -> Result<DurationMs, Unfit> {
        self.integer(key).map(DurationMs::from_seconds)
    }

    fn milliseconds(&self, key: &str) -> Result<DurationMs, Unfit> {
        self.integer(key).map(DurationMs::new)
    }

    /// Zero where the key is not for this table.
    fn optional_milliseconds(&self, key: &str) -> Result<DurationMs, Unfit> {
        if self.is_set(key) { self.milliseconds(key) } else { Ok(DurationMs::default()) }
    }

    fn flag(&self, key: &str) -> Result<bool, Unfit> {
        self.settings.flag(&self.path.child(key)).ok_or_else(|| self.unfit(key))
    }

    fn optional_text(&self, key: &str) -> Option<String> {
        self.settings.text(&self.path.child(key)).map(str::to_owned)
    }

    fn text(&self, key: &str) -> Result<String, Unfit> {
        self.optional_text(key).ok_or_else(|| self.unfit(key))
    }

    fn word<W: Word>(&self, key: &str) -> Result<W, Unfit> {
        W::parse(&self.text(key)?).ok_or_else(|| self.unfit(key))
    }

    fn digest(&self, key: &str) -> Result<[u8; 32], Unfit> {
        match self.value(key)? {
            Value::Digest(digest) => Ok(*digest),
            _ => Err(self.unfit(key)),
        }
    }

    fn optional_file(&self, key: &str) -> Option<PathBuf> {
        self.settings.file(&self.path.child(key)).map(PathBuf::from)
    }

    fn list<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Unfit> {
        let elements = self.settings.list(&self.path.child(key)).ok_or_else(|| self.unfit(key))?;
        elements.iter().map(|element| parse(&element.text).ok_or_else(|| self.unfit(key))).collect()
    }

    fn networks(&self, key: &str) -> Result<Networks, Unfit> {
        self.list(key, |text| text.parse().ok()).map(Networks::new)
    }

    fn grant<N: FromStr>(&self, key: &str) -> Result<Grant<N>, Unfit> {
        match self.settings.list(&self.path.child(key)) {
            Some([only]) if only.text == "*" => Ok(Grant::All),
            Some(_) | None => self.list(key, |text| text.parse().ok()).map(Grant::Only),
        }
    }
}
