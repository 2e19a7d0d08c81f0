//! TLS towards a network: rustls on aws-lc, certificates always verified.
//!
//! Trusted are the platform's authorities or, where a file is given, those of that file and no others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

/// What is spoken inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// HTTP/2 and nothing else.
    Http2,
    /// HTTP/2 or HTTP/1.1, as the peer prefers.
    Http,
    /// HTTP/1.1 and nothing else.
    Http1,
    /// Mail, which names itself by its port.
    Mail,
}

impl Application {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Mail => Vec::new(),
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Why no TLS can be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file of authorities cannot be read or is no PEM.
    #[error("cannot read the CA file {}: {reason}; give a readable PEM file of certificates", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds no usable certificate.
    #[error("the CA file {} holds no certificate of an authority; put the PEM of your CA into it", path.display())]
    NoAuthority {
        /// Which file.
        path: PathBuf,
    },
    /// The platform's authorities cannot be used.
    #[error("cannot use the platform's certificate authorities: {0}; install ca-certificates or set ca_file")]
    Platform(rustls::Error),
    /// The cryptography library lacks TLS 1.2 or 1.3.
    #[error("cannot set TLS up: {0}")]
    Versions(rustls::Error),
}

/// A configuration that trusts the authorities of `ca_file`, or the platform's where there is none.
pub fn client_config(
    ca_file: Option<&Path>,
    application: Application,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Versions)?;
    let mut config = match ca_file {
        Some(path) => builder.with_root_certificates(authorities(path)?).with_no_client_auth(),
        None => builder.with_platform_verifier().map_err(TlsSetupError::Platform)?.with_no_client_auth(),
    };
    config.alpn_protocols = application.alpn();
    Ok(Arc::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let unreadable = |error: rustls_pki_types::pem::Error| TlsSetupError::CaFile {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        store
            .add(certificate)
            .map_err(|error| TlsSetupError::CaFile { path: path.to_owned(), reason: error.to_string() })?;
    }
    if store.is_empty() {
        return Err(TlsSetupError::NoAuthority { path: path.to_owned() });
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_file_of_authorities_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing.pem");
        let error = client_config(Some(&missing), Application::Http2).expect_err("missing").to_string();
        assert!(error.contains("missing.pem"), "{error}");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing here").expect("writable");
        let error = client_config(Some(&empty), Application::Http2).expect_err("empty").to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }

    #[test]
    fn the_platforms_authorities_serve_without_a_file() {
        let config = client_config(None, Application::Http).expect("platform");
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
