//! From where a call comes: the peer of the connection, or what a trusted proxy says of its own peer.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are believed from trusted proxies only, and read from the right: each
//! proxy adds the address that called it, so that the right-most address that is no trusted proxy is the caller, and
//! whatever stands further left the caller may have written itself.
//!
//! A caller can write into these headers too, so what cannot be judged (an address that cannot be read, a quote that
//! does not close, two headers that disagree) is said to be unknown and never taken for the proxy's own word: no allow
//! list lets it in, also not one that the proxy stands in. A limit counts it under the proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};
use tocsin_config::Networks;

/// Most proxies that are followed; behind more nobody is known.
const HOPS_MAX: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// From where a call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From this address.
    Known(IpAddr),
    /// Through this trusted proxy, from nobody knows where.
    Unknown {
        /// The proxy.
        proxy: IpAddr,
    },
}

impl Origin {
    /// What limits count the call under.
    pub(crate) fn counted_under(self) -> IpAddr {
        match self {
            Self::Known(address) | Self::Unknown { proxy: address } => address,
        }
    }

    /// Whether the call is known to come from one of `networks`.
    pub(crate) fn is_in(self, networks: &Networks) -> bool {
        match self {
            Self::Known(address) => networks.contain(address),
            Self::Unknown { .. } => false,
        }
    }
}

/// From where a call with these headers comes that `peer` sent.
pub(crate) fn origin(peer: IpAddr, trusted: &Networks, headers: &HeaderMap) -> Origin {
    let peer = peer.to_canonical();
    if !trusted.contain(peer) {
        return Origin::Known(peer);
    }
    let forwarded = text_of(headers, &FORWARDED).map(|text| text.as_deref().and_then(forwarded_nodes));
    let listed = text_of(headers, &X_FORWARDED_FOR).map(|text| text.as_deref().map(listed_nodes));
    let walked = |nodes: Option<Vec<Option<IpAddr>>>| walk(trusted, &nodes?);
    let caller = match (forwarded.map(walked), listed.map(walked)) {
        (None, None) => Some(peer),
        (Some(one), Some(other)) => one.filter(|_| one == other),
        (Some(caller), None) | (None, Some(caller)) => caller,
    };
    caller.map_or(Origin::Unknown { proxy: peer }, Origin::Known)
}

/// What an address counts as: all of a subscriber's IPv6 addresses, a /64, are one.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// From the right to the left over trusted proxies only; `None` where that meets what cannot be read, or no end.
fn walk(trusted: &Networks, nodes: &[Option<IpAddr>]) -> Option<IpAddr> {
    let mut known = None;
    for node in nodes.iter().rev().take(HOPS_MAX) {
        let address = (*node)?;
        if !trusted.contain(address) {
            return Some(address);
        }
        known = Some(address);
    }
    known.filter(|_| nodes.len() <= HOPS_MAX)
}

/// All lines of a header as one list: `None` without one, `Some(None)` where one is no text.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<Option<String>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let texts: Option<Vec<&str>> = lines.map(|line| line.to_str().ok()).collect();
    Some(texts.map(|texts| texts.join(",")))
}

/// The addresses of `X-Forwarded-For`.
fn listed_nodes(text: &str) -> Vec<Option<IpAddr>> {
    text.split(',').map(|element| node(element.trim_matches([' ', '\t']))).collect()
}

/// The `for` of each element of `Forwarded`; `None` where its quotes do not close.
fn forwarded_nodes(text: &str) -> Option<Vec<Option<IpAddr>>> {
    let elements = split_outside_quotes(text, b',')?;
    elements.into_iter().map(for_of).collect()
}

/// The only `for` of an element; an element without one, or with two, names nobody.
fn for_of(element: &str) -> Option<Option<IpAddr>> {
    let mut found = None;
    let mut count = 0;
    for pair in split_outside_quotes(element, b';')? {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for") {
            found = node(value.trim_matches([' ', '\t']));
            count += 1;
        }
    }
    Some(found.filter(|_| count == 1))
}

fn split_outside_quotes(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if byte == separator && !is_quoted => {
                parts.push(&text[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_quoted).then_some(parts)
}

/// An address with or without quotes, brackets and port. `unknown` and made-up names are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            IpAddr::V6(address.parse::<Ipv6Addr>().ok().filter(|_| port_fits)?)
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => {
                let (address, port) = text.split_once(':')?;
                IpAddr::V4(address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?)
            }
        },
    };
    Some(address.to_canonical())
}

/// A number, or a made-up name (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => {
            text.len() <= 5 && text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
