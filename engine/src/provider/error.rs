//! Why a provider cannot be set up: each text names key and file and what to do, and never what is in it.

use std::path::PathBuf;

use tocsin_config::Effective;
use tocsin_model::ProviderName;

use crate::transport::{EndpointError, ProxySetupError, TlsSetupError};

/// Why a provider cannot be set up, with the place of the key that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}{key}: {fault}", place.as_deref().unwrap_or_default())]
pub struct ProviderSetupError {
    /// The key of the configuration, such as `providers.apns-main.key_file`.
    pub key: Box<str>,
    /// Where the configuration says so: `FILE:LINE:COLUMN: `, or nothing where it says nothing.
    place: Option<Box<str>>,
    /// What is wrong.
    #[source]
    pub fault: ProviderFault,
}

impl ProviderSetupError {
    pub(super) fn new(provider: &ProviderName, fault: ProviderFault) -> Self {
        Self { key: format!("providers.{provider}.{}", fault.key()).into(), place: None, fault }
    }

    /// What is wrong with the proxy on the way to a provider, or to portals, where none is named. Its table is
    /// the provider's own, or that of all.
    pub(super) fn of_proxy(own_table: Option<&ProviderName>, error: ProxySetupError) -> Self {
        let table = own_table.map_or_else(String::new, |provider| format!("providers.{provider}."));
        let key = format!("{table}proxy.{}", error.key()).into();
        Self { key, place: None, fault: ProviderFault::Proxy(error) }
    }

    /// The same with its place in this configuration.
    pub(super) fn placed(self, effective: &Effective) -> Self {
        let place = effective.source_of(&self.key).map(|source| format!("{source}: ").into());
        Self { place, ..self }
    }
}

/// What is wrong with a provider's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFault {
    /// A URL cannot be used.
    #[error("{url} is {reason}; give an https URL such as {example}")]
    Endpoint {
        /// The key of the configuration.
        key: &'static str,
        /// Which URL it is.
        url: &'static str,
        /// What is wrong with it.
        #[source]
        reason: EndpointError,
        /// A right one.
        example: &'static str,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The proxy on the way there cannot be set up.
    #[error(transparent)]
    Proxy(ProxySetupError),
    /// A credential file cannot be read.
    #[error("cannot read {}: {reason}; put the file there and let the server's user read it", path.display())]
    Unreadable {
        /// The key of the configuration.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        reason: std::io::Error,
    },
    /// A credential file holds something else.
    #[error("{} is not {expected}; {remedy}", path.display())]
    NotACredential {
        /// The key of the configuration.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An id cannot stand in a token.
    #[error("is not {expected}")]
    Id {
        /// The key of the configuration.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl ProviderFault {
    /// The key of the provider's table that is wrong, or names what is.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Endpoint { key, .. }
            | Self::Unreadable { key, .. }
            | Self::NotACredential { key, .. }
            | Self::Id { key, .. } => key,
            Self::Tls(_) => "ca_file",
            Self::Proxy(error) => error.key(),
        }
    }
}
