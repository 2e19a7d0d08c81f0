//! Takes another configuration over while the server runs: whole, or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tocsin_config::{Config, process_environment};
use tocsin_engine::Handle;
use tocsin_engine::message::Origins;
use tocsin_engine::provider::{DriverSources, Drivers, TokenShelf, callback_route, rebuild_drivers};
use tocsin_engine::transport::{Proxies, ProxyRoute};
use tocsin_model::{AuditActor, AuditEvent, AuditKind};

use crate::aside::aside;
use crate::control::{ReloadOutcome, Reloaded};
use crate::log::{self, LogControl};
use crate::serve::open_origins;

/// How long files are waited for: a file with all cities of the world takes seconds.
const READ_MAX: Duration = Duration::from_secs(60);

/// What a reload needs to know.
#[derive(Clone)]
pub(crate) struct Reloader {
    /// The file that the server was started with.
    pub(crate) file: Option<PathBuf>,
    /// What the present drivers were made of.
    pub(crate) sources: DriverSources,
    /// The log.
    pub(crate) log: LogControl,
    /// Where tokens of providers outlive their drivers.
    pub(crate) shelf: TokenShelf,
    /// The proxies on the way out.
    pub(crate) proxies: Proxies,
}

/// A configuration in which no fault was found, with its drivers.
pub(crate) struct Candidate {
    config: Arc<Config>,
    warnings: Vec<String>,
    drivers: Drivers,
    sources: DriverSources,
    origins: Origins,
    callback_route: Option<ProxyRoute>,
}

impl Reloader {
    /// Takes what was read over, as a whole; where faults were found, or are now, the present configuration stays.
    pub(crate) async fn reload(
        &mut self,
        handle: &Handle,
        read: Result<Candidate, Vec<String>>,
        by: AuditActor,
    ) -> ReloadOutcome {
        let outcome = match read {
            Ok(candidate) => self.take_over(handle, candidate, &by).await,
            Err(faults) => Err(faults),
        };
        handle.metrics().reloaded(outcome.is_ok());
        match &outcome {
            Ok(reloaded) => {
                tracing::info!(by = by.as_str(), "a new configuration is in force");
                reloaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            Err(faults) => {
                tracing::error!(by = by.as_str(), faults = faults.len(), "a new configuration was refused");
                faults.iter().for_each(|fault| tracing::error!("{fault}"));
                let event = AuditEvent::new(AuditKind::ConfigRefused, by).detail(&faults.len().to_string());
                if let Err(problem) = handle.note(event).await {
                    tracing::error!(%problem, "the refusal could not be put into the audit trail");
                }
            }
        }
        outcome
    }

    async fn take_over(&mut self, handle: &Handle, candidate: Candidate, by: &AuditActor) -> ReloadOutcome {
        let Candidate { config, warnings, drivers, sources, origins, callback_route } = candidate;
        // Told first: a change that cannot be told is not made.
        let noted = handle.note(loaded_event(&config, by.clone())).await;
        noted.map_err(|problem| vec![format!("the audit trail cannot be written: {problem}")])?;
        self.log.set(&config.log.filter).map_err(|error| vec![error.to_string()])?;
        handle.reload(config, drivers, origins, callback_route).await;
        self.sources = sources;
        Ok(Reloaded { warnings })
    }

    /// Reads file and environment anew. Every fault of the configuration, of the credentials that it names and of what only
    /// a start can change is in the error. On a thread of its own: a disk may hang, and a file with all cities of the world
    /// takes its time. May be dropped.
    pub(crate) async fn candidate(&self, handle: &Handle) -> Result<Candidate, Vec<String>> {
        let (reloader, handle) = (self.clone(), handle.clone());
        let read = aside("reload", READ_MAX, move || reloader.read(&handle)).await;
        read.unwrap_or_else(|error| Err(vec![format!("the new configuration was not read: {error}")]))
    }

    fn read(self, handle: &Handle) -> Result<Candidate, Vec<String>> {
        let loaded = Config::load(self.file.as_deref(), process_environment())
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let (config, warnings) =
            (Arc::new(loaded.config), loaded.warnings.iter().map(ToString::to_string).collect());
        let mut faults = handle.config().effective.needs_restart(&config.effective);
        faults.extend(log::check(&config.log).err().map(|error| error.to_string()));
        let mut sources = self.sources;
        let (present, clock, issuer) = (handle.drivers(), handle.clock(), Some(handle.issuer()));
        let rebuilt =
            rebuild_drivers(&present, &mut sources, &config, clock, &self.shelf, &self.proxies, issuer);
        faults.extend(rebuilt.as_ref().err().into_iter().flatten().map(ToString::to_string));
        let opened = open_origins(&handle.origins(), &config, clock, &self.proxies);
        faults.extend(opened.as_ref().err().cloned());
        // What is wrong with it is among the faults of the drivers.
        let callback_route = callback_route(&config, &self.proxies);
        match (rebuilt, opened, callback_route) {
            (Ok(drivers), Ok(origins), Ok(callback_route)) if faults.is_empty() => {
                Ok(Candidate { config, warnings, drivers, sources, origins, callback_route })
            }
            _ => Err(faults),
        }
    }
}

/// A row that says which configuration is in force from now on, by a hash of what `tocsin config` prints.
pub(crate) fn loaded_event(config: &Config, by: AuditActor) -> AuditEvent {
    let hash = digest(&SHA256, config.effective.to_string().as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    AuditEvent::new(AuditKind::ConfigLoaded, by).detail(&hash)
}
