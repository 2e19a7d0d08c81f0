//! The certificate authority of one run.
//!
//! It lives in memory only: a client trusts it by its PEM and nothing else needs to be switched off.
//! Private keys leave this module only inside a TLS configuration and for a server that is told to show a certificate.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::MockError;

/// Names that every server certificate carries.
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate authority made at run time.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority with a P-256 key.
    pub fn new() -> Result<Self, MockError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "Tocsin mock authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's certificate, for a client's list of trusted roots.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate as DER.
    pub fn ca_der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes [`Self::ca_pem`] to `path`.
    pub fn write_ca_pem(&self, path: &Path) -> Result<(), MockError> {
        std::fs::write(path, self.ca_pem()).map_err(MockError::io("write the CA certificate"))
    }

    /// Issues a server certificate for `localhost`, `127.0.0.1` and `::1`.
    pub fn issue(&self) -> Result<ServerIdentity, MockError> {
        self.issue_for(&SERVER_NAMES)
    }

    /// Issues a server certificate for other names or addresses.
    pub fn issue_for(&self, names: &[&str]) -> Result<ServerIdentity, MockError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name.push(DnType::CommonName, "Tocsin mock server");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A server certificate with its private key.
pub struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Writes `door.pem` and `door.key` into `folder`, the key for its owner alone, and gives their paths.
    pub fn write_pem(&self, folder: &Path) -> Result<[PathBuf; 2], MockError> {
        let [certificate, key] = ["door.pem", "door.key"].map(|name| folder.join(name));
        let chain: String = self.chain.iter().map(|part| pem("CERTIFICATE", part)).collect();
        std::fs::write(&certificate, chain).map_err(MockError::io("write the certificate"))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&key)
            .and_then(|mut file| file.write_all(pem("PRIVATE KEY", self.key.secret_der()).as_bytes()));
        written.map_err(MockError::io("write the key"))?;
        Ok([certificate, key])
    }

    /// A TLS 1.2 and 1.3 configuration that offers exactly `protocols` by ALPN.
    pub(crate) fn tls(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, MockError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// In lines of 64 characters, as RFC 7468 has it.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerIdentity").finish_non_exhaustive()
    }
}
