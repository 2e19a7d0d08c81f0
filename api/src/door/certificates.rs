//! The certificates that the doors show, and their exchange while they run.
//!
//! Files are looked at on request and every few seconds; what is in them counts, not their times. A new pair that
//! cannot be used is refused and told once, and the old one stays. Connections that are open keep theirs.
//!
//! Sessions are resumed by tickets, because a full handshake costs more than a phone's whole transaction; not where
//! callers show certificates, so that one whose authority is gone is not let in by an old ticket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tocsin_config::{Authorities, CertificateFault, ClientCertificates, DoorTls, Identity};
use tocsin_model::UnixMs;

/// Protocols inside of TLS, the preferred one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a door cannot speak TLS, or not with the new files.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be used.
    #[error("{0}")]
    File(#[from] CertificateFault),
    /// The TLS library refused what the files hold.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// What one door shows.
pub(super) struct DoorCertificate {
    current: ArcSwap<ServerConfig>,
    state: Mutex<State>,
    tickets: Arc<dyn ProducesTickets>,
}

/// What the door shows at the moment, and what it refused last.
struct State {
    shown: Seen,
    told: Option<String>,
}

/// What was in the files, as hashes, and when the certificate ends.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    identity: [u8; 32],
    authorities: Option<([u8; 32], bool)>,
    valid_until: UnixMs,
}

/// How a look at the files ended.
#[derive(Debug)]
pub(super) enum Looked {
    /// They are as they were.
    Unchanged,
    /// New ones are shown from now on.
    Renewed,
    /// New ones cannot be used; `is_news` the first time that this is found.
    Refused { error: CertificateError, is_news: bool },
}

/// Everything read from the files of one door.
struct Read {
    identity: Identity,
    authorities: Option<(Authorities, bool)>,
}

impl Read {
    fn from(files: &DoorTls) -> Result<Self, CertificateFault> {
        let identity = Identity::read(&files.certificate_file, &files.key_file)?;
        let authorities = match &files.client_certificates {
            Some(ClientCertificates { ca_file, required }) => Some((Authorities::read(ca_file)?, *required)),
            None => None,
        };
        Ok(Self { identity, authorities })
    }

    fn seen(&self) -> Seen {
        let authorities = self.authorities.as_ref();
        Seen {
            identity: self.identity.fingerprint,
            authorities: authorities.map(|(authorities, required)| (authorities.fingerprint, *required)),
            valid_until: self.identity.valid_until,
        }
    }
}

impl DoorCertificate {
    /// Reads the files for the first time.
    pub(super) fn load(files: &DoorTls) -> Result<Self, CertificateError> {
        let read = Read::from(files)?;
        let tickets = Ticketer::new().map_err(refused)?;
        let config = server_config(&read, &tickets)?;
        let state = State { shown: read.seen(), told: None };
        Ok(Self { current: ArcSwap::from_pointee(config), state: Mutex::new(state), tickets })
    }

    /// What new connections are spoken with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// When what is shown ends.
    pub(super) fn valid_until(&self) -> UnixMs {
        self.state().shown.valid_until
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the files have changed, and takes them if they can be used. One look at a time: `Certificates` sees to
    /// it.
    pub(super) fn look(&self, files: &DoorTls) -> Looked {
        // Nothing is held while files are read.
        let shown = self.state().shown;
        let renewed = self.renew(files, shown);
        let mut state = self.state();
        match renewed {
            Ok(None) => {
                state.told = None;
                Looked::Unchanged
            }
            Ok(Some((config, shown))) => {
                self.current.store(Arc::new(config));
                *state = State { shown, told: None };
                Looked::Renewed
            }
            Err(error) => {
                let told = error.to_string();
                let is_news = state.told.as_ref() != Some(&told);
                state.told = Some(told);
                Looked::Refused { error, is_news }
            }
        }
    }

    fn renew(&self, files: &DoorTls, shown: Seen) -> Result<Option<(ServerConfig, Seen)>, CertificateError> {
        let read = Read::from(files)?;
        if read.seen() == shown {
            return Ok(None);
        }
        Ok(Some((server_config(&read, &self.tickets)?, read.seen())))
    }
}

fn refused(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Tls(error.to_string())
}

fn server_config(read: &Read, tickets: &Arc<dyn ProducesTickets>) -> Result<ServerConfig, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(refused)?;
    let builder = match &read.authorities {
        None => builder.with_no_client_auth(),
        Some((authorities, required)) => {
            builder.with_client_cert_verifier(client_verifier(&authorities.roots, *required)?)
        }
    };
    let shown = SingleCertAndKey::from(Arc::clone(&read.identity.certified));
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    if read.authorities.is_none() {
        config.ticketer = Arc::clone(tickets);
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client_verifier(
    roots: &Arc<RootCertStore>,
    required: bool,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, CertificateError> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::new(default_provider()));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(refused)
}
