//! Takes another configuration over while the server runs: whole, or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use tocsin_config::{Config, process_environment};
use tocsin_engine::Handle;
use tocsin_engine::message::Origins;
use tocsin_engine::provider::{DriverSources, Drivers, TokenShelf, rebuild_drivers};
use tocsin_engine::transport::Proxies;
use tocsin_model::{AuditActor, AuditEvent, AuditKind};

use crate::aside::aside;
use crate::control::{ReloadOutcome, Reloaded};
use crate::log::{self, LogControl};
use crate::serve::open_origins;

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
struct Candidate {
    config: Arc<Config>,
    warnings: Vec<String>,
    drivers: Drivers,
    sources: DriverSources,
    origins: Origins,
}

impl Reloader {
    /// Reads file and environment anew. Every fault of the configuration, of the credentials that it names and of
    /// what only a start can change is in the error, and then the present configuration stays.
    pub(crate) async fn reload(&mut self, handle: &Handle, by: AuditActor) -> ReloadOutcome {
        let outcome = self.take_over(handle, &by).await;
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

    async fn take_over(&mut self, handle: &Handle, by: &AuditActor) -> ReloadOutcome {
        let Candidate { config, warnings, drivers, sources, origins } = self.candidate(handle).await?;
        // Told first: a change that cannot be told is not made.
        let noted = handle.note(loaded_event(&config, by.clone())).await;
        noted.map_err(|problem| vec![format!("the audit trail cannot be written: {problem}")])?;
        self.log.set(&config.log.filter).map_err(|error| vec![error.to_string()])?;
        handle.reload(config, drivers, origins).await;
        self.sources = sources;
        Ok(Reloaded { warnings })
    }

    /// On a thread of its own: a disk may hang, and a file with all cities of the world takes its time.
    async fn candidate(&self, handle: &Handle) -> Result<Candidate, Vec<String>> {
        let (reloader, handle) = (self.clone(), handle.clone());
        let read = aside("reload", move || reloader.read(&handle)).await;
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
        match (rebuilt, opened) {
            (Ok(drivers), Ok(origins)) if faults.is_empty() => {
                Ok(Candidate { config, warnings, drivers, sources, origins })
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
