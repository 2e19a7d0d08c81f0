//! Why a provider cannot be set up: each text names the file or key and what to do, and never what is in it.

use std::path::PathBuf;

use tocsin_model::ProviderName;

use crate::transport::{EndpointError, TlsSetupError};

/// Why a provider cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider}: {fault}")]
pub struct ProviderSetupError {
    /// Which provider.
    pub provider: ProviderName,
    /// What is wrong.
    #[source]
    pub fault: ProviderFault,
}

/// What is wrong with a provider's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFault {
    /// Its URL cannot be used.
    #[error("{key} is {reason}; give an https URL such as {example}")]
    Endpoint {
        /// The key of the configuration or of the credential file.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        reason: EndpointError,
        /// A right one.
        example: &'static str,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A credential file cannot be read.
    #[error("cannot read {}: {reason}; put the file there and let the server's user read it", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        reason: std::io::Error,
    },
    /// A credential file holds something else.
    #[error("{} is not {expected}; {remedy}", path.display())]
    NotACredential {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An id cannot stand in a token.
    #[error("{key} is not {expected}")]
    Id {
        /// The key of the configuration.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}
