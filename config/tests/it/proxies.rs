//! The proxy on the way out.

use tocsin_config::{Config, PasswordSource, Provider, ProxyScheme, ProxySettings};
use tocsin_model::DurationMs;

use crate::fixture::{SMALL, assert_only_fault, faults, folder, line_of, load, make_private, warnings};

fn with(keys: &str) -> String {
    format!("{SMALL}[proxy]\n{keys}\n")
}

fn own(keys: &str) -> String {
    with(&format!("enabled = true\nhost = \"all.example\"\n[providers.fcm-main.proxy]\n{keys}"))
}

fn common(text: &str) -> ProxySettings {
    load(text).config.proxy.expect("a proxy")
}

fn provider<'c>(config: &'c Config, name: &str) -> &'c Provider {
    config.providers.get(&name.parse().expect("a name")).expect("a provider")
}

#[test]
fn there_is_none_by_default_and_a_host_alone_switches_none_on() {
    let config = load(SMALL).config;
    assert!(config.proxy.is_none() && config.providers.values().all(|provider| provider.proxy.is_none()));
    assert_eq!(provider(&config, "fcm-main").limits.ping_interval, DurationMs::new(60_000));
    let loaded = load(&with("host = \"proxy.example\""));
    assert_eq!(loaded.config.proxy, None);
    let warned = warnings(loaded);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].key == "proxy.host" && warned[0].message.contains("inert"), "{warned:?}");
}

#[test]
fn enabled_with_a_host_is_http_at_port_8080_without_credentials() {
    let proxy = common(&with("enabled = true\nhost = \"proxy.example\""));
    assert_eq!((proxy.scheme, proxy.host.as_str(), proxy.port), (ProxyScheme::Http, "proxy.example", 8080));
    assert!(proxy.credentials.is_none() && !proxy.is_preemptive && proxy.ca_file.is_none());
    assert!(proxy.no_proxy.covers("localhost") && proxy.no_proxy.covers("127.0.0.9"));
    assert!(proxy.no_proxy.covers("::1") && !proxy.no_proxy.covers("api.push.apple.com"));
}

#[test]
fn every_key_is_taken_over() {
    let text = with(
        "enabled = true\npreemptive = true\nusername = \"tocsin\"\npassword = \"a:b\"\nscheme = \"https\"\n\
         host = \"2001:db8::1\"\nport = 3128\nno_proxy = [\"Bank.example\", \"10.0.0.0/8\"]\n\
         ca_file = \"credentials/callback-ca.pem\"",
    );
    let proxy = common(&text);
    assert_eq!((proxy.scheme, proxy.host.as_str(), proxy.port), (ProxyScheme::Https, "2001:db8::1", 3128));
    assert!(proxy.is_preemptive && proxy.ca_file.is_some());
    let credentials = proxy.credentials.expect("credentials");
    assert_eq!(credentials.username, "tocsin");
    assert!(matches!(credentials.password, PasswordSource::Value(value) if value.expose() == "a:b"));
    assert!(proxy.no_proxy.covers("portal.bank.example") && !proxy.no_proxy.covers("localhost"));
}

#[test]
fn a_provider_has_the_common_one_or_its_own_or_none() {
    let config = load(&own("enabled = true\nhost = \"own.example\"")).config;
    let host = |name: &str| provider(&config, name).proxy.as_ref().map(|proxy| proxy.host.clone());
    assert_eq!(host("apns-main").as_deref(), Some("all.example"));
    assert_eq!(host("fcm-main").as_deref(), Some("own.example"));
    let config = load(&own("enabled = false")).config;
    assert!(provider(&config, "fcm-main").proxy.is_none() && provider(&config, "apns-main").proxy.is_some());
    let config =
        load(&format!("{SMALL}[providers.fcm-main.proxy]\nenabled = true\nhost = \"own.example\"\n"));
    let proxies = config.config.providers.values().map(|provider| provider.proxy.is_some());
    assert_eq!((config.config.proxy.is_some(), proxies.filter(|has| *has).count()), (false, 1));
}

#[test]
fn connections_are_asked_more_often_behind_a_proxy_unless_somebody_says_how_often() {
    let text = own("enabled = false").replace("team_id", "ping_interval_ms = 45000\nteam_id");
    let config = load(&text).config;
    assert_eq!(provider(&config, "apns-main").limits.ping_interval, DurationMs::new(45_000));
    assert_eq!(provider(&config, "fcm-main").limits.ping_interval, DurationMs::new(60_000));
    let loaded = load(&with("enabled = true\nhost = \"proxy.example\""));
    assert_eq!(provider(&loaded.config, "apns-main").limits.ping_interval, DurationMs::new(30_000));
    assert!(loaded.config.effective.to_string().contains("ping_interval_ms = 30000 # default"));
}

#[test]
fn what_is_missing_or_contradicts_is_refused_at_its_place() {
    let enabled = "enabled = true\nhost = \"proxy.example\"\n";
    for (keys, line, key, part) in [
        ("enabled = true", "enabled = true", "host", "needs its host"),
        ("enabled = true\nhost = \"http://p.example\"", "host =", "host", "without scheme and port"),
        ("enabled = true\nhost = \"p.example:3128\"", "host =", "host", "without scheme and port"),
        ("enabled = true\nhost = \"127.1\"", "host =", "host", "a host name or an IP address"),
        (&format!("{enabled}port = 0"), "port = 0", "port", "from 1 to 65535"),
        (&format!("{enabled}port = 65536"), "port = 65536", "port", "from 1 to 65535"),
        (&format!("{enabled}scheme = \"socks5\""), "scheme", "scheme", "one of \"http\", \"https\""),
        (&format!("{enabled}username = \"u\""), "username", "password", "beside the username"),
        (&format!("{enabled}password = \"hunter2\""), "password", "username", "beside the password"),
        (&format!("{enabled}username = \"a:b\"\npassword = \"c\""), "username", "username", "colon"),
        (&format!("{enabled}preemptive = true"), "preemptive", "username", "first request"),
        (&format!("{enabled}no_proxy = [\"*\"]"), "no_proxy", "no_proxy", "a list of DNS names"),
        (&format!("{enabled}no_proxy = [\"10.0.0.1/8\"]"), "no_proxy", "no_proxy", "a list of DNS names"),
        (&format!("{enabled}no_proxy = [\"127.1\"]"), "no_proxy", "no_proxy", "a list of DNS names"),
        (&format!("{enabled}socks = true"), "socks", "socks", "unknown key"),
    ] {
        let text = with(keys);
        let found =
            line_of(&text, "[proxy]") + keys.lines().position(|one| one.contains(line)).expect(line) + 1;
        assert_only_fault(&text, found, &format!("proxy.{key}"), part);
        assert!(faults(&text).iter().all(|(_, _, message)| !message.contains("hunter2")));
    }
    let text = own("enabled = true");
    assert_only_fault(
        &text,
        line_of(&text, "fcm-main.proxy") + 1,
        "providers.fcm-main.proxy.host",
        "its host",
    );
}

#[test]
fn the_password_is_given_once_and_its_file_must_be_there() {
    let keys =
        "enabled = true\nhost = \"proxy.example\"\nusername = \"u\"\npassword_file = \"credentials/proxy\"\n";
    let text = with(keys);
    assert_only_fault(&text, line_of(&text, "password_file"), "proxy.password_file", "cannot read");
    let both = with(&format!("{keys}password = \"hunter2\""));
    assert!(
        faults(&both)
            .iter()
            .any(|(_, key, message)| key == "proxy.password_file" && message.contains("too many"))
    );
    let folder = folder();
    let file = folder.path().join("credentials/proxy");
    std::fs::write(&file, "hunter2\n").expect("written");
    make_private(&file);
    let loaded = Config::load_str(&text, folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    let credentials =
        loaded.config.proxy.as_ref().and_then(|proxy| proxy.credentials.clone()).expect("credentials");
    assert_eq!(credentials.password, PasswordSource::File(file));
}

#[test]
fn a_password_in_clear_on_the_network_is_warned_of() {
    let keys = "enabled = true\nusername = \"u\"\npassword = \"hunter2\"\n";
    for (more, expected) in [
        ("host = \"proxy.example\"", 1),
        ("host = \"proxy.example\"\nscheme = \"https\"", 0),
        ("host = \"127.0.0.1\"", 0),
    ] {
        let warned = warnings(load(&with(&format!("{keys}{more}"))));
        assert_eq!(warned.len(), expected, "{more}: {warned:?}");
        assert!(warned.iter().all(|warning| warning.message.contains("in clear")), "{warned:?}");
    }
}

#[test]
fn the_password_is_shown_nowhere_and_may_come_from_the_environment() {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, SMALL).expect("a file");
    let variables = [
        ("TOCSIN_PROXY__ENABLED", "true"),
        ("TOCSIN_PROXY__HOST", "proxy.example"),
        ("TOCSIN_PROXY__USERNAME", "tocsin"),
        ("TOCSIN_PROXY__PASSWORD", "hunter2"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = Config::load(Some(&path), variables).unwrap_or_else(|faults| panic!("{faults}"));
    let shown = loaded.config.effective.to_string();
    assert!(shown.contains("password = \"********\" # environment TOCSIN_PROXY__PASSWORD"), "{shown}");
    assert!(shown.contains("port = 8080 # default"), "{shown}");
    let debug = format!("{:?}", loaded.config);
    assert!(!shown.contains("hunter2") && !debug.contains("hunter2"), "{debug}");
    assert!(loaded.config.providers.values().all(|provider| provider.proxy.is_some()));
}
