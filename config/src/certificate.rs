//! Certificates that doors show and authorities that they trust, read from PEM files and looked through before
//! they are used.
//!
//! What is read here is well-formed and fits together: the key belongs to the certificate, the certificate is one
//! of version 3 with a name. Whether phones trust it is for phones to say. Faults name files and never hold what is
//! in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tocsin_model::UnixMs;
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use crate::der_time::valid_until;

/// Largest file of certificates or keys in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a door shows: a certificate with its chain and key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What TLS is spoken with.
    pub certified: Arc<CertifiedKey>,
    /// Whether the certificate names itself as its issuer, so that nobody trusts it who was not told to.
    pub is_self_issued: bool,
    /// When it ends.
    pub valid_until: UnixMs,
    /// A hash over both files, to see whether they have changed.
    pub fingerprint: [u8; 32],
}

/// Authorities that issue the certificates of callers.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Their certificates.
    pub roots: Arc<RootCertStore>,
    /// A hash over the file.
    pub fingerprint: [u8; 32],
}

/// A file that cannot be used, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The file of the certificate.
    #[error("{0}")]
    Certificate(String),
    /// The file of the key.
    #[error("{0}")]
    Key(String),
    /// The file of the authorities.
    #[error("{0}")]
    Authorities(String),
}

impl Identity {
    /// Reads and compares both files.
    pub fn read(certificate_file: &Path, key_file: &Path) -> Result<Self, CertificateFault> {
        let certificates = read(certificate_file).map_err(|error| {
            CertificateFault::Certificate(format!("cannot read {}: {error}", certificate_file.display()))
        })?;
        let keys = Zeroizing::new(read(key_file).map_err(|error| {
            CertificateFault::Key(format!("cannot read {}: {error}", key_file.display()))
        })?);
        let fingerprint = fingerprint_of(&[&certificates, &keys]);
        let chain = chain(&certificates)
            .map_err(|why| CertificateFault::Certificate(format!("{} {why}", certificate_file.display())))?;
        let key = PrivateKeyDer::from_pem_slice(&keys)
            .ok()
            .and_then(|key| default_provider().key_provider.load_private_key(key).ok());
        let key = key.ok_or_else(|| {
            CertificateFault::Key(format!(
                "{} holds no private key in PEM that TLS can use (RSA, ECDSA or Ed25519, without a passphrase)",
                key_file.display()
            ))
        })?;
        let (is_self_issued, valid_until) = leaf(&chain[0]).ok_or_else(|| {
            CertificateFault::Certificate(format!(
                "the first certificate in {} is none of X.509 version 3",
                certificate_file.display()
            ))
        })?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| {
            CertificateFault::Key(format!(
                "the key in {} is not that of the first certificate in {}",
                key_file.display(),
                certificate_file.display()
            ))
        })?;
        Ok(Self { certified: Arc::new(certified), is_self_issued, valid_until, fingerprint })
    }

    /// Whether the certificate is for this host.
    pub fn is_for(&self, host: &str) -> bool {
        self.certified.end_entity_cert().is_ok_and(|certificate| certificate_is_for(certificate, host))
    }
}

impl Authorities {
    /// Reads the file.
    pub fn read(file: &Path) -> Result<Self, CertificateFault> {
        let bytes = read(file).map_err(|error| {
            CertificateFault::Authorities(format!("cannot read {}: {error}", file.display()))
        })?;
        let fault = |why| CertificateFault::Authorities(format!("{} {why}", file.display()));
        let mut roots = RootCertStore::empty();
        for certificate in chain(&bytes).map_err(fault)? {
            roots.add(certificate).map_err(|_| fault("holds a certificate that cannot be an authority's"))?;
        }
        Ok(Self { roots: Arc::new(roots), fingerprint: fingerprint_of(&[&bytes]) })
    }
}

/// Whether a certificate is for this DNS name or IP address, by its alternative names alone (RFC 6125).
pub fn certificate_is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else {
        return false;
    };
    EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("holds no certificate in PEM"),
        Ok(chain) => Ok(chain),
        Err(_) => Err("is no well-formed PEM"),
    }
}

/// Whether the certificate issued itself, and when it ends.
fn leaf(certificate: &CertificateDer<'_>) -> Option<(bool, UnixMs)> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some((parsed.issuer() == parsed.subject(), valid_until(certificate, parsed.issuer())?))
}

/// Each part is hashed by itself, so that bytes cannot move from one to the other unseen.
fn fingerprint_of(parts: &[&[u8]]) -> [u8; 32] {
    let hashes: Vec<u8> = parts.iter().flat_map(|part| digest(&SHA256, part).as_ref().to_vec()).collect();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, &hashes).as_ref());
    fingerprint
}
