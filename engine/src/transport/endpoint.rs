//! Where a network is: an https URL, parsed once. Nothing else is accepted, so nothing travels in clear; http is for a
//! peer on this machine, where the caller allows it.

use std::net::IpAddr;

use http::uri::{Authority, Uri};
use rustls_pki_types::ServerName;

/// The port of https.
const HTTPS_PORT: u16 = 443;
/// The port of http.
const HTTP_PORT: u16 = 80;

/// An https URL in the parts that a connection and a request need.
#[derive(Clone, Debug)]
pub struct Endpoint {
    authority: Authority,
    host: Box<str>,
    port: u16,
    server_name: ServerName<'static>,
    path: Box<str>,
    is_plain: bool,
}

/// Why a text is not an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No URL at all.
    #[error("not a URL")]
    NotAUrl,
    /// Some other scheme; http would send credentials in clear.
    #[error("not an https URL")]
    NotHttps,
    /// A user name or password in the URL.
    #[error("a URL with a user name or password")]
    UserInfo,
    /// A query part, for which there is no use.
    #[error("a URL with a query")]
    Query,
    /// A host that can be in no certificate.
    #[error("a host name that no certificate can carry")]
    Host,
}

impl Endpoint {
    /// Parses `https://host[:port][/path]`; a trailing slash is dropped.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        Self::parse_as(url, false)
    }

    /// The same, and `http://` with a loopback address or `localhost`: a gateway or proxy on this machine.
    pub fn parse_or_loopback(url: &str) -> Result<Self, EndpointError> {
        Self::parse_as(url, true)
    }

    fn parse_as(url: &str, loopback_may_be_plain: bool) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|_| EndpointError::NotAUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotAUrl)?.clone();
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if loopback_may_be_plain && is_loopback(authority.host()) => true,
            _ => return Err(EndpointError::NotHttps),
        };
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(EndpointError::Query);
        }
        let host = authority.host().trim_matches(['[', ']']);
        let server_name = ServerName::try_from(host.to_owned()).map_err(|_| EndpointError::Host)?;
        let port = authority.port_u16().unwrap_or(if is_plain { HTTP_PORT } else { HTTPS_PORT });
        let (host, path) = (host.into(), uri.path().trim_end_matches('/').into());
        Ok(Self { authority, host, port, server_name, path, is_plain })
    }

    /// Whether it is spoken to without TLS, on this machine.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Host and port as a request's `:authority`.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host, to be looked up; an IPv6 address stands without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the peer's certificate must carry.
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    /// The path without trailing slash; empty when there is none.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn is_loopback(host: &str) -> bool {
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    literal.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_url_is_taken_apart() {
        let endpoint = Endpoint::parse("https://oauth2.example.com/token").expect("valid");
        assert_eq!(
            (endpoint.host(), endpoint.port(), endpoint.path()),
            ("oauth2.example.com", 443, "/token")
        );
        let endpoint = Endpoint::parse("https://[::1]:8443/").expect("valid");
        assert_eq!((endpoint.host(), endpoint.port(), endpoint.path()), ("::1", 8443, ""));
        assert_eq!(endpoint.authority().as_str(), "[::1]:8443");
    }

    #[test]
    fn anything_else_is_refused() {
        let refusal = |url: &str| Endpoint::parse(url).expect_err(url).to_string();
        assert_eq!(refusal("http://api.example.com"), "not an https URL");
        assert_eq!(refusal("api.example.com"), "not an https URL");
        assert_eq!(refusal("/token"), "not a URL");
        assert_eq!(refusal("https://user:word@api.example.com"), "a URL with a user name or password");
        assert_eq!(refusal("https://api.example.com/?a=b"), "a URL with a query");
        assert_eq!(refusal("https://a_.-b!/"), "a host name that no certificate can carry");
    }

    #[test]
    fn only_this_machine_may_be_spoken_to_in_clear_and_only_where_the_caller_allows_it() {
        for url in ["http://127.0.0.1:9000/send", "http://[::1]/", "http://LOCALHOST"] {
            assert!(Endpoint::parse_or_loopback(url).expect(url).is_plain(), "{url}");
            assert!(matches!(Endpoint::parse(url), Err(EndpointError::NotHttps)), "{url}");
        }
        for url in
            ["http://sms.example.com", "http://10.0.0.1", "http://localhost.example.com", "ftp://[::1]"]
        {
            assert!(matches!(Endpoint::parse_or_loopback(url), Err(EndpointError::NotHttps)), "{url}");
        }
        let endpoint = Endpoint::parse_or_loopback("https://sms.example.com/v1").expect("valid");
        assert_eq!((endpoint.is_plain(), endpoint.port(), endpoint.path()), (false, 443, "/v1"));
    }
}
