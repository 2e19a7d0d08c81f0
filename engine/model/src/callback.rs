//! Callbacks: where an outcome is posted to, and what is still owed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{ClientId, State, TransactionId, UnixMs};

/// Longest callback URL in bytes.
const URL_BYTES_MAX: usize = 1_024;

/// Where an outcome is posted to: `https`, or `http` on loopback, with host, optional port, path and query.
///
/// Deliberately no general URL: what is not plainly allowed is refused, so that no two programs on the way can
/// read it differently. It keeps its spelling, since an allow list compares every byte of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackUrl(Box<str>);

/// Why a text is no callback URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackUrlError {
    /// Longer than 1,024 bytes, or with something else than visible ASCII.
    Text,
    /// Neither `https://` nor `http://`.
    Scheme,
    /// `http` to a host that is not loopback.
    PlainHttp,
    /// A user, a password or a fragment.
    Part,
    /// A host or port that is not plainly one.
    Host,
}

impl fmt::Display for CallbackUrlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "a callback URL has 1,024 visible ASCII characters at most",
            Self::Scheme => "a callback URL begins with https://",
            Self::PlainHttp => "http is only for localhost and loopback addresses; use https",
            Self::Part => "a callback URL has no user, password or fragment",
            Self::Host => "the host or port of this callback URL is not well formed",
        })
    }
}

impl std::error::Error for CallbackUrlError {}

/// The parts of a URL that a connection and a request need.
struct Parts<'a> {
    is_https: bool,
    authority: &'a str,
    host: &'a str,
    port: Option<u16>,
    path_and_query: &'a str,
}

impl CallbackUrl {
    /// Reads a URL, strictly.
    pub fn parse(text: &str) -> Result<Self, CallbackUrlError> {
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CallbackUrlError::Text);
        }
        if text.contains(['#', '@', '\\']) {
            return Err(CallbackUrlError::Part);
        }
        let parts = Parts::of(text)?;
        let url = Self(text.into());
        if !parts.is_https && !url.is_loopback_by_name() {
            return Err(CallbackUrlError::PlainHttp);
        }
        Ok(url)
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is posted to over TLS.
    pub fn is_https(&self) -> bool {
        self.parts().is_https
    }

    /// The host to look up; an IPv6 address stands without brackets.
    pub fn host(&self) -> &str {
        self.parts().host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        let parts = self.parts();
        parts.port.unwrap_or(if parts.is_https { 443 } else { 80 })
    }

    /// Host and port as the request's `Host` says them.
    pub fn authority(&self) -> &str {
        self.parts().authority
    }

    /// Scheme, host and port: what shares a connection's luck.
    pub fn origin(&self) -> &str {
        let parts = self.parts();
        let scheme = if parts.is_https { "https://".len() } else { "http://".len() };
        &self.0[..scheme + parts.authority.len()]
    }

    /// The path with its query; `/` when there is none.
    pub fn path_and_query(&self) -> &str {
        self.parts().path_and_query
    }

    /// The address, where the host is one; `localhost` counts as 127.0.0.1.
    pub fn literal_address(&self) -> Option<IpAddr> {
        let host = self.parts().host;
        if host.eq_ignore_ascii_case("localhost") {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        host.parse().ok()
    }

    fn is_loopback_by_name(&self) -> bool {
        self.literal_address().is_some_and(|address| address.is_loopback())
    }

    fn parts(&self) -> Parts<'_> {
        Parts::of(&self.0).expect("a value of this type was read with the same function")
    }
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, CallbackUrlError> {
        let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(CallbackUrlError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if after.starts_with('?') {
            return Err(CallbackUrlError::Host);
        }
        let (host, port) = host_and_port(authority).ok_or(CallbackUrlError::Host)?;
        let path_and_query = if after.is_empty() { "/" } else { after };
        Ok(Self { is_https, authority, host, port, path_and_query })
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
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
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    (host.contains(':') || is_host_name(host)).then_some((host, port))
}

/// A name, or an IPv4 address in its one plain form: `127.1`, `0x7f000001` and `2130706433` are the loopback
/// address to some resolvers, so a host that ends in a number must be four plain ones.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let ends_in_a_number = last.starts_with(|first: char| first.is_ascii_digit());
    host.len() <= 253
        && host.split('.').all(is_label)
        && (!ends_in_a_number || host.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Paths and queries may hold a portal's own secrets, so only the origin is printed.
impl fmt::Debug for CallbackUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/…", self.origin())
    }
}

/// Stands for a client together with the origin of callback URLs: those that share both wait for each other, and for
/// no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackHost([u8; 16]);

/// Stands for a client whose portals are called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackClient([u8; 8]);

impl CallbackHost {
    /// The host with these bytes: the beginning of a hash of the client, and of one of the origin.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whose portal it is.
    pub fn client(&self) -> CallbackClient {
        let mut client = [0; 8];
        client.copy_from_slice(&self.0[..8]);
        CallbackClient(client)
    }
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a try to deliver a callback failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CallbackFault {
            $($(#[$doc])* $name,)*
        }

        impl CallbackFault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of metrics and lists.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// No answer in time.
    Timeout = "timeout",
    /// The name has no address.
    LookUp = "look_up",
    /// One of its addresses is private and not listed for the client.
    AddressRefused = "address_refused",
    /// No address took the connection.
    Connect = "connect",
    /// The proxy on the way made no tunnel.
    Proxy = "proxy",
    /// TLS failed; a certificate that does not verify included.
    Tls = "tls",
    /// The connection broke, or what came was no HTTP.
    Http = "http",
    /// A redirect, which is never followed.
    Redirect = "redirect",
    /// A status 4xx.
    ClientError = "client_error",
    /// A status 5xx, or one that is none.
    ServerError = "server_error",
    /// The client is configured no more, or has no webhook secret.
    Configuration = "configuration",
    /// The client's allow list has the URL no more.
    NotAllowed = "not_allowed",
}

impl CallbackFault {
    /// Whether the host itself could not be reached, so that others of it would fare the same.
    pub const fn is_of_the_host(self) -> bool {
        match self {
            Self::Timeout
            | Self::LookUp
            | Self::AddressRefused
            | Self::Connect
            | Self::Proxy
            | Self::Tls
            | Self::Http => true,
            Self::Redirect
            | Self::ClientError
            | Self::ServerError
            | Self::Configuration
            | Self::NotAllowed => false,
        }
    }

    /// Whether no other try is made, since the operators have said that none may be.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::NotAllowed)
    }
}

/// Where a callback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackPhase {
    /// It is still owed.
    Owed {
        /// When it is tried next.
        next_try_at: UnixMs,
    },
    /// Its window ended without a 2xx, or it may not be tried any more; only an operator brings it back.
    Dead {
        /// When.
        since: UnixMs,
    },
}

/// The callback of one transaction, from its outcome to the portal's 2xx. Its id is the transaction's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Whose outcome.
    pub transaction_id: TransactionId,
    /// The client that started it.
    pub client: ClientId,
    /// Where to.
    pub url: CallbackUrl,
    /// The outcome.
    pub state: State,
    /// Since when it is owed: the outcome, or the last redelivery.
    pub owed_at: UnixMs,
    /// Tries that failed.
    pub tries: u32,
    /// How the last one failed.
    pub last_fault: Option<CallbackFault>,
    /// Where it stands.
    pub phase: CallbackPhase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_keeps_its_spelling() {
        let url = CallbackUrl::parse("https://Portal.example:8443/cb?x=1").expect("valid");
        assert_eq!((url.host(), url.port(), url.path_and_query()), ("Portal.example", 8443, "/cb?x=1"));
        assert_eq!((url.authority(), url.origin()), ("Portal.example:8443", "https://Portal.example:8443"));
        assert!(url.is_https());
        let url = CallbackUrl::parse("http://[::1]/").expect("valid");
        assert_eq!((url.host(), url.port(), url.path_and_query()), ("::1", 80, "/"));
        assert_eq!(CallbackUrl::parse("https://a.example").expect("valid").path_and_query(), "/");
    }

    #[test]
    fn http_is_for_loopback_only() {
        for good in ["http://localhost:1/x", "http://127.9.9.9/", "http://[::1]:80/"] {
            assert!(CallbackUrl::parse(good).is_ok(), "{good}");
        }
        for bad in ["http://a.example/", "http://10.0.0.1/", "http://localhost.example/"] {
            assert_eq!(CallbackUrl::parse(bad), Err(CallbackUrlError::PlainHttp), "{bad}");
        }
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX));
        for bad in [
            "",
            "a.example",
            "ftp://a.example/",
            "HTTPS://a.example/",
            "https://",
            "https:///x",
            "https://a.example?x",
            "https://user@a.example/",
            "https://a.example/#x",
            "https://a.example\\@b.example/",
            "https://a.example/ x",
            "https://a.example/ü",
            "https://a..example/",
            "https://-a.example/",
            "https://a_b.example/",
            "https://a.example:0/",
            "https://a.example:/",
            "https://a.example:65536/",
            "https://a.example:+1/",
            "https://[::1/",
            "https://[::1]x/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://127.0.0.0x1/",
            &long,
        ] {
            assert!(CallbackUrl::parse(bad).is_err(), "{bad}");
        }
        let longest = &long[..URL_BYTES_MAX];
        assert!(CallbackUrl::parse(longest).is_ok());
        assert_eq!(CallbackUrl::parse(&long[..=URL_BYTES_MAX]), Err(CallbackUrlError::Text));
    }

    #[test]
    fn a_literal_address_is_known_without_a_look_up() {
        let literal = |text: &str| CallbackUrl::parse(text).expect("valid").literal_address();
        assert_eq!(literal("https://10.1.2.3/"), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(literal("https://LOCALHOST/"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(literal("https://a.example/"), None);
    }

    #[test]
    fn a_debug_print_ends_at_the_origin() {
        let url = CallbackUrl::parse("https://a.example/cb?token=hunter2").expect("valid");
        assert_eq!(format!("{url:?}"), "https://a.example/…");
    }

    #[test]
    fn words_of_faults_are_unique() {
        let words: std::collections::HashSet<_> =
            CallbackFault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(words.len(), CallbackFault::ALL.len());
    }
}
