//! The exchange of certificates while the doors are open, on request and every few seconds.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tocsin_config::DoorTls;
use tocsin_engine::Handle;

use super::certificates::{CertificateError, DoorCertificate, Looked};
use super::rate::Rates;
use super::{DoorMetrics, DoorName};
use crate::aside::aside;

/// How often certificate files are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);

/// How long a look at them is waited for.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The certificates of the doors, to be exchanged while they run.
#[derive(Clone)]
pub struct Certificates {
    /// Held by who looks, from the configuration that he looks by on: nobody takes back what a later one has brought.
    looking: Arc<Mutex<()>>,
    doors: [(DoorName, Option<Arc<DoorCertificate>>); 3],
    handle: Handle,
    metrics: Arc<DoorMetrics>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    pub(super) fn new(
        doors: [(DoorName, Option<Arc<DoorCertificate>>); 3],
        handle: Handle,
        metrics: Arc<DoorMetrics>,
    ) -> Self {
        Self { looking: Arc::default(), doors, handle, metrics }
    }

    /// Reads the certificate files of the present configuration anew and shows to new connections what they hold. A
    /// door whose files cannot be used keeps its certificate and is named in the error. Whether a door speaks TLS at
    /// all is fixed at the start.
    pub fn reload(&self) -> Result<(), Vec<(DoorName, CertificateError)>> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.look()
    }

    fn look(&self) -> Result<(), Vec<(DoorName, CertificateError)>> {
        let config = self.handle.config();
        let mut faults = Vec::new();
        for (door, certificate) in &self.doors {
            if let (Some(certificate), Some(files)) = (certificate, &door.settings(&config).tls) {
                faults.extend(self.reload_door(*door, certificate, files).map(|error| (*door, error)));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The same where nothing may wait for a disk; what is wrong is in the log.
    pub(crate) async fn reload_aside(&self) {
        self.aside(|certificates| drop(certificates.reload())).await;
    }

    /// The same, unless somebody is looking already.
    async fn look_aside(&self) {
        let look = |certificates: &Self| {
            if let Ok(_looking) = certificates.looking.try_lock() {
                drop(certificates.look());
            }
        };
        self.aside(look).await;
    }

    async fn aside(&self, look: impl FnOnce(&Self) + Send + 'static) {
        if self.doors.iter().all(|(_, certificate)| certificate.is_none()) {
            return;
        }
        let certificates = self.clone();
        if let Err(error) = aside("certificates", LOOK_MAX, move || look(&certificates)).await {
            tracing::error!(%error, "the certificates were not looked at");
        }
    }

    fn reload_door(
        &self,
        door: DoorName,
        certificate: &DoorCertificate,
        files: &DoorTls,
    ) -> Option<CertificateError> {
        let looked = certificate.look(files);
        self.metrics.certificate_ends(door, certificate.valid_until());
        match looked {
            Looked::Unchanged => None,
            Looked::Renewed => {
                self.metrics.certificate_reloaded(door, true);
                tracing::info!(door = door.as_str(), "a new certificate is shown");
                None
            }
            Looked::Refused { error, is_news } => {
                if is_news {
                    self.metrics.certificate_reloaded(door, false);
                    tracing::error!(door = door.as_str(), %error, "the new certificate is refused, the old one stays");
                }
                Some(error)
            }
        }
    }
}

/// Looks after certificates and rates while the doors are open.
pub(super) async fn keep(certificates: Certificates, rates: Arc<Rates>) {
    let mut next = tokio::time::interval(CERTIFICATE_POLL);
    loop {
        next.tick().await;
        certificates.look_aside().await;
        rates.forget_the_quiet();
    }
}
