//! Where a network is: an https URL, parsed once. Nothing else is accepted, so nothing travels in clear.

use http::uri::{Authority, Uri};
use rustls_pki_types::ServerName;

/// The port of https.
const HTTPS_PORT: u16 = 443;

/// An https URL in the parts that a connection and a request need.
#[derive(Clone, Debug)]
pub struct Endpoint {
    authority: Authority,
    host: Box<str>,
    port: u16,
    server_name: ServerName<'static>,
    path: Box<str>,
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
        let uri: Uri = url.parse().map_err(|_| EndpointError::NotAUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotAUrl)?.clone();
        if uri.scheme_str() != Some("https") {
            return Err(EndpointError::NotHttps);
        }
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(EndpointError::Query);
        }
        let host = authority.host().trim_matches(['[', ']']);
        let server_name = ServerName::try_from(host.to_owned()).map_err(|_| EndpointError::Host)?;
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        let (host, path) = (host.into(), uri.path().trim_end_matches('/').into());
        Ok(Self { authority, host, port, server_name, path })
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
}
