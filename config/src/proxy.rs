//! The proxy on the way out: `[proxy]` for everything, `[providers.NAME.proxy]` in its place for one provider. Part of
//! the typed configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::login::Login;
use crate::networks::Networks;

/// A proxy that is switched on; it is asked for tunnels by HTTP CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// How it is spoken to.
    pub scheme: ProxyScheme,
    /// Its host name, or its address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it knows us by, the user name without a colon; `None` where it asks for nothing.
    pub credentials: Option<Login>,
    /// Whether they are sent with the first request, rather than when the proxy asks for them.
    pub is_preemptive: bool,
    /// Where connections go without it.
    pub no_proxy: NoProxy,
    /// Trust only the certificate authorities of this PEM file instead of the platform's, where it is spoken to over
    /// TLS.
    pub ca_file: Option<PathBuf>,
}

impl ProxySettings {
    /// The files that it names.
    pub fn files(&self) -> [Option<&PathBuf>; 2] {
        let password = self.credentials.as_ref().and_then(|login| login.password.file());
        [password, self.ca_file.as_ref()]
    }
}

/// How a proxy is spoken to. What passes it has TLS of its own in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// In clear, user name and password included.
    Http,
    /// Over TLS.
    Https,
}

/// Hosts that are reached without the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    names: Vec<String>,
    networks: Networks,
}

impl NoProxy {
    /// Reads a list of names and networks; a name stands for itself and for all below it.
    pub(crate) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let (mut names, mut networks) = (Vec::new(), Vec::new());
        for text in texts {
            match text.parse() {
                Ok(network) => networks.push(network),
                Err(_) => names.push(text.to_owned()),
            }
        }
        Self { names, networks: Networks::new(networks) }
    }

    /// Whether `host`, as it is written and without brackets, is reached without the proxy. Nothing is looked up: an
    /// address is judged by the networks, a name by the names.
    pub fn covers(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.networks.contain(address);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_below = |name: &String| {
            host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.names.iter().any(is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_what_is_below_them_and_networks_cover_addresses() {
        let no_proxy = NoProxy::of(["bank.example", "10.0.0.0/8", "::1/128"].into_iter());
        for (host, expected) in [
            ("bank.example", true),
            ("Portal.Bank.example", true),
            ("bank.example.", true),
            ("otherbank.example", false),
            ("bank.example.org", false),
            ("example", false),
            ("10.9.8.7", true),
            ("::ffff:10.9.8.7", true),
            ("11.0.0.1", false),
            ("::1", true),
        ] {
            assert_eq!(no_proxy.covers(host), expected, "{host}");
        }
        assert!(!NoProxy::default().covers("localhost"));
    }
}
