//! The few rules for URLs in the configuration. Deliberately no general parser: what is not plainly allowed is
//! refused, so that nothing downstream has to think about credentials, queries or odd hosts in them.

use std::net::{IpAddr, Ipv6Addr};

use crate::template::{Escape, Filling, Template};

/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 512;

/// What callers may be told as a door's URL: `https`, or `http` when its host is loopback; without a trailing
/// slash, query, fragment or credentials.
pub(crate) fn public(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "an https URL without query, fragment, user or password, such as \
                           \"https://push.example.com\" (http only where the host is localhost or a loopback address)";
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let parts = split(trimmed).ok_or(ALLOWED)?;
    let path_is_plain = !parts.path.ends_with('/') && parts.path.bytes().all(is_path_byte);
    let scheme_fits = parts.scheme == "https" || (parts.scheme == "http" && is_loopback(parts.host));
    if path_is_plain && scheme_fits { Ok(trimmed.to_owned()) } else { Err(ALLOWED) }
}

/// A provider's base URL: `https`, host and port only. There is no form without TLS.
pub(crate) fn endpoint(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "an https URL of host and port only, such as \"https://api.push.apple.com\"; \
                           leave the key out for the network's own";
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let parts = split(trimmed).ok_or(ALLOWED)?;
    if parts.scheme == "https" && parts.path.is_empty() { Ok(trimmed.to_owned()) } else { Err(ALLOWED) }
}

/// The URL of a server that knows places: `https`, or `http` when its host is loopback; `{ip}` stands once behind the
/// host, `{key}` at most once.
pub(crate) fn location(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "an https URL with {ip} once in its path or query and {key} at most once, such as \
                           \"https://geo.example.com/v1/{ip}\" (http only where the host is localhost or a loopback \
                           address)";
    let once = |word: &str| text.matches(word).count();
    let plain = text.replacen("{ip}", "ip", 1).replacen("{key}", "key", 1);
    let parts = split(plain.split('?').next().unwrap_or_default()).ok_or(ALLOWED)?;
    let scheme_fits = parts.scheme == "https" || (parts.scheme == "http" && is_loopback(parts.host));
    let behind_host = text.splitn(4, '/').nth(3).unwrap_or_default();
    let is_url_byte = |byte: u8| byte.is_ascii_graphic() && !br##"{}#"<>\^`|"##.contains(&byte);
    let fits = text.len() <= URL_BYTES_MAX
        && scheme_fits
        && once("{ip}") == 1
        && once("{key}") <= 1
        && behind_host.contains("{ip}")
        && (once("{key}") == 0 || behind_host.contains("{key}"))
        && plain.bytes().all(is_url_byte);
    if fits { Ok(text.to_owned()) } else { Err(ALLOWED) }
}

/// Where a gateway is asked, cut before its path: `https`, or `http` on this machine. Placeholders may stand in path and
/// query, never in what decides where a message goes.
pub(crate) fn gateway(text: &str) -> Result<(&str, Template), String> {
    const ALLOWED: &str = "an https URL without fragment, user or password, perhaps with {to}, {text}, {from} and \
                           {ref} in path or query, such as \"https://sms.example.com/send\" (http only where the host is \
                           localhost or a loopback address)";
    let authority_at = text.find("://").map(|at| at + 3).ok_or(ALLOWED)?;
    let (_, rest) = text.split_at(authority_at);
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let (base, target) = text.split_at(authority_at + length);
    let parts = split(base).filter(|parts| parts.path.is_empty()).ok_or(ALLOWED)?;
    let scheme_fits = parts.scheme == "https" || (parts.scheme == "http" && is_loopback(parts.host));
    let is_target_byte = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`|".contains(&byte);
    let target_fits = target.len() <= URL_BYTES_MAX && target.bytes().all(is_target_byte);
    if !scheme_fits || !target_fits {
        return Err(ALLOWED.to_owned());
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let template = Template::parse(&target).map_err(|_| ALLOWED)?;
    // What is left of braces after all that is known was put in could stand in no URL.
    let filled = template.fill(Filling { to: "", text: "", from: "", reference: "" }, Escape::Percent);
    if filled.contains(['{', '}']) { Err(ALLOWED.to_owned()) } else { Ok((base, template)) }
}

/// `host` or `host:port`, in small letters.
pub(crate) fn is_host(text: &str) -> bool {
    text.len() <= URL_BYTES_MAX
        && host_of(text).is_some()
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A host name or an IP address, alone.
pub(crate) fn is_bare_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || (is_host_name(text) && !ends_in_a_number(text))
}

/// Whether a host is an address to some resolver: `127.1`, `0x7f000001` and `2130706433` all are the loopback one.
pub(crate) fn ends_in_a_number(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()))
}

/// A scheme (RFC 3986, section 3.1), in small letters.
pub(crate) fn is_scheme(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(fits)
}

/// The host of a URL that [`public`] has taken, without brackets.
pub(crate) fn host(url: &str) -> Option<&str> {
    split(url).map(|parts| parts.host)
}

struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
}

fn split(text: &str) -> Option<Parts<'_>> {
    if text.len() > URL_BYTES_MAX {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host_of(authority)?;
    Some(Parts { scheme, host, path })
}

/// The host of `host[:port]`, when both are well formed.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let host_fits = host.contains(':') || is_host_name(host);
    let port_fits = port.is_none_or(is_port);
    (host_fits && port_fits).then_some(host)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
}

pub(crate) fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~')
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_https_or_loopback_and_loses_its_trailing_slash() {
        assert_eq!(public("https://push.example.com/"), Ok("https://push.example.com".to_owned()));
        for good in
            ["https://a.example:8443/tocsin", "http://localhost:1", "http://127.0.0.1:8441", "http://[::1]"]
        {
            assert_eq!(public(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "push.example.com",
            "http://push.example.com",
            "https://",
            "https://a b",
            "https://u:p@a.example",
            "https://a.example?x",
            "https://a.example/#x",
            "https://a.example//",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+1",
            "https://[::1",
            "https://[::1]x",
            "https://-a.example",
            "https://a..example",
            "ftp://a.example",
            "https://a.example/ä",
        ] {
            assert!(public(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_has_no_scheme_and_a_scheme_no_host() {
        for good in ["app.example.com", "app.example.com:8443", "[::1]:1"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "App.example.com", "app.example.com/", "https://app.example.com", "a b", "a:0"] {
            assert!(!is_host(bad), "{bad}");
        }
        for good in ["https", "com.example.bank", "x-1+2"] {
            assert!(is_scheme(good), "{good}");
        }
        for bad in ["", "1x", "HTTPS", "a:", "a/", &"a".repeat(65)] {
            assert!(!is_scheme(bad), "{bad}");
        }
    }

    #[test]
    fn the_url_of_places_has_the_address_once_and_behind_the_host() {
        for good in [
            "https://geo.example.com/v1/{ip}",
            "https://geo.example.com/api/json/ip/{key}/{ip}?strictness=0",
            "https://geo.example.com/?ip={ip}&key={key}",
            "http://127.0.0.1:8080/{ip}",
        ] {
            assert_eq!(location(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "https://geo.example.com/v1",
            "https://geo.example.com/{ip}/{ip}",
            "https://geo.example.com/{ip}/{key}{key}",
            "https://{ip}.example.com/",
            "https://{key}.example.com/{ip}",
            "https://geo.example.com?ip={ip}",
            "http://geo.example.com/{ip}",
            "https://user:word@geo.example.com/{ip}",
            "https://geo.example.com/{ip}#x",
            "https://geo.example.com/{ip} x",
            "https://geo.example.com/{ip}/{other}",
        ] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_https_without_a_path_even_on_loopback() {
        assert_eq!(endpoint("https://127.0.0.1:4443/"), Ok("https://127.0.0.1:4443".to_owned()));
        for bad in ["", "/", "http://127.0.0.1:4443", "https://fcm.googleapis.com/v1", "https://x?y"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
