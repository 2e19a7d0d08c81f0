//! Written by hand for each rule, and generated for what no caller may reach.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use tocsin_config::{Config, Networks};

use super::{HOPS_MAX, Origin, counted_as, origin};

/// Proxies: 10.0.0.0/8 and fd00::/8.
fn trusted() -> &'static Networks {
    static TRUSTED: OnceLock<Networks> = OnceLock::new();
    TRUSTED.get_or_init(read_trusted)
}

fn read_trusted() -> Networks {
    let text = "[portal]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n";
    let loaded = Config::load_str(text, std::path::Path::new("/")).expect("a configuration");
    loaded.config.portal.trusted_proxies.clone()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn found(peer: &str, lines: &[(&'static str, &str)]) -> String {
    match origin(address(peer), trusted(), &headers(lines)) {
        Origin::Known(address) => address.to_string(),
        Origin::Unknown { proxy } => format!("unknown behind {proxy}"),
    }
}

#[test]
fn headers_from_anyone_else_are_ignored() {
    let lines = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
    assert_eq!(found("198.51.100.9", &lines), "198.51.100.9");
    assert_eq!(found("::ffff:198.51.100.9", &lines), "198.51.100.9");
}

#[test]
fn a_trusted_proxy_without_a_header_is_the_caller_itself() {
    assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
}

#[test]
fn the_right_most_address_that_is_no_proxy_is_the_caller() {
    for list in ["192.0.2.1", "203.0.113.5, 192.0.2.1", "203.0.113.5,192.0.2.1,10.0.0.7 , 10.0.0.8"] {
        assert_eq!(found("10.0.0.1", &[("x-forwarded-for", list)]), "192.0.2.1", "{list}");
    }
    let lines = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "192.0.2.1, 10.0.0.8")];
    assert_eq!(found("10.0.0.1", &lines), "192.0.2.1");
    assert_eq!(found("10.0.0.1", &[("x-forwarded-for", "10.0.0.7, 10.0.0.8")]), "10.0.0.7");
}

#[test]
fn every_form_of_an_address_is_read() {
    for (value, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=\"192.0.2.1:4711\"", "192.0.2.1"),
        ("for=192.0.2.1:4711;proto=https;by=10.0.0.1", "192.0.2.1"),
        ("proto=https; for=192.0.2.1", "192.0.2.1"),
        ("for=\"[2001:db8::1]\"", "2001:db8::1"),
        ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("for=\"[2001:db8::1]:_hidden\"", "2001:db8::1"),
        ("for=\"[::ffff:192.0.2.1]\"", "192.0.2.1"),
        ("by=\"a,b;for=203.0.113.9\";for=192.0.2.1", "192.0.2.1"),
        ("for=203.0.113.9, for=192.0.2.1, for=\"[fd00::7]\"", "192.0.2.1"),
    ] {
        assert_eq!(found("10.0.0.1", &[("forwarded", value)]), expected, "{value}");
    }
    for (value, expected) in
        [("192.0.2.1:80", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1")]
    {
        assert_eq!(found("fd00::1", &[("x-forwarded-for", value)]), expected, "{value}");
    }
}

#[test]
fn behind_what_cannot_be_read_nobody_is_known() {
    const UNKNOWN: &str = "unknown behind 10.0.0.1";
    for value in [
        "for=unknown",
        "for=_hidden",
        "for=\"192.0.2.1",
        "for=192.0.2.1;for=192.0.2.2",
        "proto=https",
        "",
        "for=192.0.2.1, ",
        "for=\"[2001:db8::1\"",
        "for=192.0.2.1:99999",
    ] {
        assert_eq!(found("10.0.0.1", &[("forwarded", value)]), UNKNOWN, "{value}");
    }
    let value = "for=192.0.2.1, for=unknown, for=10.0.0.8";
    assert_eq!(found("10.0.0.1", &[("forwarded", value)]), UNKNOWN);
    for value in ["", "unknown", "192.0.2.1, nonsense", "192.0.2.1:", "192.0.2.256"] {
        assert_eq!(found("10.0.0.1", &[("x-forwarded-for", value)]), UNKNOWN, "{value}");
    }
    let quote_of_the_caller = [("forwarded", "for=\""), ("forwarded", "for=192.0.2.1")];
    assert_eq!(found("10.0.0.1", &quote_of_the_caller), UNKNOWN);
}

#[test]
fn proxies_are_followed_up_to_their_bound() {
    let list = |hops: usize| vec!["10.0.0.7"; hops].join(", ");
    assert_eq!(found("10.0.0.1", &[("x-forwarded-for", &list(HOPS_MAX))]), "10.0.0.7");
    let beyond = list(HOPS_MAX + 1);
    assert_eq!(found("10.0.0.1", &[("x-forwarded-for", &beyond)]), "unknown behind 10.0.0.1");
}

#[test]
fn headers_that_disagree_name_nobody() {
    let agreeing = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(found("10.0.0.1", &agreeing), "192.0.2.1");
    let contrary = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")];
    assert_eq!(found("10.0.0.1", &contrary), "unknown behind 10.0.0.1");
    let half = [("forwarded", "for=unknown"), ("x-forwarded-for", "192.0.2.2")];
    assert_eq!(found("10.0.0.1", &half), "unknown behind 10.0.0.1");
}

#[test]
fn who_is_unknown_is_in_no_network_and_is_counted_under_the_proxy() {
    let (proxy, unknown) = (address("10.0.0.1"), Origin::Unknown { proxy: address("10.0.0.1") });
    assert!(Origin::Known(proxy).is_in(trusted()) && !unknown.is_in(trusted()));
    assert_eq!(unknown.counted_under(), proxy);
}

#[test]
fn the_addresses_of_one_ipv6_subscriber_count_as_one() {
    let [one, other, foreign] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"].map(address);
    assert_eq!(counted_as(one), counted_as(other));
    assert_ne!(counted_as(one), counted_as(foreign));
    assert_eq!(counted_as(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    assert_ne!(counted_as(address("192.0.2.1")), counted_as(address("192.0.2.2")));
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        any::<u8>().prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
    ]
}

fn any_header() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,80}", "(for|by|proto)=[\"\\[\\]0-9a-f.:,; \\\\]{0,60}", "[0-9a-f.:, \\[\\]\"]{0,60}"]
}

proptest! {
    #[test]
    fn no_header_moves_a_caller_that_is_no_proxy(peer in any_address(), one in any_header(), other in any_header()) {
        prop_assume!(!trusted().contain(peer));
        let headers = headers(&[("forwarded", &one), ("x-forwarded-for", &other)]);
        prop_assert_eq!(origin(peer, trusted(), &headers), Origin::Known(peer.to_canonical()));
    }

    #[test]
    fn what_the_caller_writes_itself_is_never_reached(caller in any_address(), own in "[0-9a-f.:, ]{0,60}") {
        prop_assume!(!trusted().contain(caller));
        let caller = caller.to_canonical();
        let list = format!("{own}, {caller}, 10.0.0.8");
        let headers = headers(&[("x-forwarded-for", &list)]);
        prop_assert_eq!(origin(address("10.0.0.1"), trusted(), &headers), Origin::Known(caller));
    }

    #[test]
    fn an_unclosed_quote_of_the_caller_never_makes_it_somebody_else(own in "for=\"?[0-9.]{0,20}", caller in any::<u32>()) {
        let caller = IpAddr::V4(Ipv4Addr::from(caller));
        prop_assume!(!trusted().contain(caller));
        let headers = headers(&[("forwarded", &own), ("forwarded", &format!("for={caller}"))]);
        let proxy = address("10.0.0.1");
        let found = origin(proxy, trusted(), &headers);
        prop_assert!(found == Origin::Known(caller) || found == Origin::Unknown { proxy }, "{found:?}");
    }
}
