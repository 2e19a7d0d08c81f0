//! `tocsin serve`: puts the process together, waits for its end, takes it apart.
//!
//! The order: log, doors bound, master keys, storage, server keys, providers, engine, doors open. What fails on the way ends the
//! start with a message that says what to do, before any caller was answered. Only the recovery goes on behind open doors; where
//! it fails the process drains and ends.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tocsin_config::{Config, Loaded};
use tocsin_engine::clock::Clock;
use tocsin_engine::code::{CodeKeyError, CodeKeys};
use tocsin_engine::device::{KeyLives, ServerKeyError, ServerKeys, Start};
use tocsin_engine::message::Origins;
use tocsin_engine::metrics::Metrics;
use tocsin_engine::provider::{DriverSources, ProviderSetupError, TokenShelf, build_drivers};
use tocsin_engine::transport::Proxies;
use tocsin_engine::{Drained, Engine, EngineParts, EngineStartError, Handle};
use tocsin_model::AuditActor;
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{MetaKey, Sealer, Store, StoreError, StoreErrorKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::announce::announce;
use crate::backup::{self, BackupError, Made};
use crate::control::{Command, Control, ReloadOutcome};
use crate::door::{BindError, BoundDoors, Certificates, OpenDoors, render_view};
use crate::master_key::{self, MasterKeyError};
use crate::notify::ServiceManager;
use crate::reload::{Reloader, loaded_event};
use crate::{Exit, log};

/// How long calls have to hear that the storage has stopped, before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("a master key cannot be had: {0}")]
    MasterKey(#[from] MasterKeyError),
    #[error("{0}")]
    Unconfirmed(String),
    #[error("the storage cannot be opened: {0}")]
    Storage(#[from] StoreError),
    #[error("the server's key file cannot be used: {0}")]
    ServerKeys(#[from] ServerKeyError),
    #[error("the code keys cannot be used: {0}")]
    CodeKeys(#[from] CodeKeyError),
    #[error("{}", lines(.0))]
    Providers(Vec<ProviderSetupError>),
    #[error("{0}")]
    Origins(String),
    #[error("{0}")]
    Engine(#[from] EngineStartError),
    #[error("the ready file cannot be written: {0}")]
    ReadyFile(io::Error),
    #[error("the machine refused: {0}")]
    Machine(#[from] io::Error),
    #[error("the storage has stopped after a failed write; nothing more is acknowledged")]
    StorageStopped,
    #[error("the storage could not be closed in order; what was acknowledged is in its log: {0}")]
    Close(StoreError),
}

impl ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unconfirmed(_) => Exit::Storage,
            Self::Bind(_) | Self::MasterKey(_) | Self::Providers(_) | Self::Origins(_) => Exit::Configuration,
            Self::ServerKeys(ServerKeyError::Sealed { .. })
            | Self::CodeKeys(CodeKeyError::NoMasterKey { .. } | CodeKeyError::Sealed { .. }) => {
                Exit::Configuration
            }
            Self::Storage(error) if error.kind() == StoreErrorKind::MasterKey => Exit::Configuration,
            Self::CodeKeys(CodeKeyError::Random) => Exit::Failed,
            Self::Storage(_)
            | Self::ServerKeys(_)
            | Self::CodeKeys(_)
            | Self::StorageStopped
            | Self::Close(_) => Exit::Storage,
            Self::Engine(
                EngineStartError::OtherIssuer { .. }
                | EngineStartError::CallbackTls(_)
                | EngineStartError::CallbackProxy(_),
            ) => Exit::Configuration,
            Self::Engine(EngineStartError::Store(_)) => Exit::Storage,
            Self::Engine(
                EngineStartError::Random | EngineStartError::Recovery | EngineStartError::Thread(_),
            ) => Exit::Failed,
            Self::ReadyFile(_) | Self::Machine(_) => Exit::Failed,
        }
    }
}

fn lines(faults: &[ProviderSetupError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs the server to its end. `file` is where `loaded` came from, and where a reload looks again.
pub(crate) fn run(loaded: Loaded, file: Option<PathBuf>, ready_file: Option<&Path>) -> Exit {
    let log = match log::start(&loaded.config.log) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(loaded.config);
    let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
    let counted_in = Arc::clone(&metrics);
    let proxies =
        Proxies::new(clock.clone(), Arc::new(move |proxy, end| counted_in.tunnel_ended(proxy, end)));
    let (sources, shelf) = (DriverSources::of(&config), TokenShelf::none());
    let reloader = Reloader { file, sources, log, shelf, proxies };
    match actix_rt::System::new().block_on(live(config, reloader, clock, metrics, ready_file)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

/// The life of a server.
async fn live(
    config: Arc<Config>,
    mut reloader: Reloader,
    clock: Clock,
    metrics: Arc<Metrics>,
    ready_file: Option<&Path>,
) -> Result<(), ServeError> {
    let mut signals = Signals::listen()?;
    let doors = BoundDoors::bind(&config)?;
    let issuer = doors.issuer(&config);
    backup::refuse_unconfirmed(&config.storage.path).map_err(ServeError::Unconfirmed)?;
    let sealer = master_key::sealer(&config)?;
    let store = open_store(&config, sealer.clone(), &clock, &metrics)?;
    if sealer.is_some() {
        reloader.shelf = TokenShelf::sealed_in(Arc::clone(&store) as Arc<dyn Store>);
    }
    let mut engine = Engine::start(EngineParts {
        server_keys: server_keys(&config, sealer.clone(), start_of(&*store).await?, &clock)?,
        code_keys: CodeKeys::open(&config.storage.path, sealer, clock.now())?,
        drivers: build_drivers(&config, &clock, &reloader.shelf, &reloader.proxies, Some(&issuer))
            .map_err(ServeError::Providers)?,
        proxies: reloader.proxies.clone(),
        origins: open_origins(&Origins::off(), &config, &clock, &reloader.proxies)
            .map_err(ServeError::Origins)?,
        store: Arc::clone(&store) as Arc<dyn Store>,
        issuer: issuer.clone(),
        render_view: render_view(config.portal.public_url.as_deref().unwrap_or_default()),
        config: Arc::clone(&config),
        clock,
        metrics,
    })
    .await?;
    store.note(loaded_event(&config, AuditActor::Console)).await?;
    let (control, commands) = Control::new(reloader.log.clone());
    let doors = doors.open_with(&engine.handle(), Some(control))?;
    announce(doors.addresses(), &issuer, ready_file).map_err(ServeError::ReadyFile)?;
    let (mut stopped, handle) = (store.stopped(), engine.handle());
    let manager = ServiceManager::from_environment();
    manager.ready();
    let attending =
        Attending { handle: &handle, store: &store, certificates: doors.certificates(), manager: &manager };
    let mut fault = None;
    tokio::select! {
        why = attend(&mut signals, commands, reloader, &attending) => tracing::info!(why, "draining"),
        () = manager.feed(&handle) => {}
        Err(error) = engine.recovered() => {
            tracing::error!(%error, "draining, since not all that was open can be given its actor again");
            fault = Some(error);
        }
        _ = stopped.wait_for(|stopped| *stopped) => {
            doors.drain(LAST_WORDS).await;
            return Err(ServeError::StorageStopped);
        }
    }
    manager.stopping();
    let grace = handle.config().engine.drain_grace.to_std();
    tokio::select! {
        () = drain(engine, doors, grace) => {}
        () = manager.feed(&handle) => {}
        name = signals.end() => abort(name),
    }
    store.close().map_err(ServeError::Close)?;
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// What operators may ask something of.
struct Attending<'a> {
    handle: &'a Handle,
    store: &'a Arc<RocksStore>,
    certificates: Certificates,
    manager: &'a ServiceManager,
}

impl Attending<'_> {
    /// Takes the configuration over, and with it the certificates that it names. A signal that asks for the end is heard
    /// while files are read, and is the error; what was read is taken over as a whole.
    async fn reload(
        &self,
        reloader: &mut Reloader,
        by: AuditActor,
        signals: &mut Signals,
    ) -> Result<ReloadOutcome, &'static str> {
        self.manager.reloading();
        let read = tokio::select! {
            read = reloader.candidate(self.handle) => read,
            name = signals.end() => return Err(name),
        };
        let outcome = reloader.reload(self.handle, read, by).await;
        if outcome.is_ok() {
            // The configuration was refused if they could not be used; one that has changed since is told in the log.
            tokio::select! {
                () = self.certificates.reload_aside() => {}
                name = signals.end() => return Err(name),
            }
        }
        self.manager.ready();
        Ok(outcome)
    }
}

/// Does what operators ask of the process, until one of them, or a signal, asks it to end; answers with the reason.
async fn attend(
    signals: &mut Signals,
    mut commands: mpsc::Receiver<Command>,
    mut reloader: Reloader,
    attending: &Attending<'_>,
) -> &'static str {
    loop {
        let command = tokio::select! {
            signal = signals.next() => match signal {
                Some(name) => return name,
                None => None,
            },
            Some(command) = commands.recv() => Some(command),
        };
        let (by, reply) = match command {
            // SIGHUP; the log tells what came of it.
            None => (AuditActor::Console, None),
            Some(Command::Reload { by, reply }) => (by, Some(reply)),
            Some(Command::Backup { reply }) => {
                begin_backup(attending.handle, attending.store, reply);
                continue;
            }
            Some(Command::Drain) => return "an operator asked for it",
        };
        let outcome = match attending.reload(&mut reloader, by, signals).await {
            Ok(outcome) => outcome,
            Err(name) => return name,
        };
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            drop(reply.send(outcome));
        }
    }
}

/// Makes a backup on a thread of its own, since it waits for the disk; other commands go on meanwhile.
fn begin_backup(handle: &Handle, store: &Arc<RocksStore>, reply: oneshot::Sender<Result<Made, BackupError>>) {
    let (store, data, now) = (Arc::clone(store), handle.config().storage.path.clone(), handle.clock().now());
    let handle = handle.clone();
    actix_rt::task::spawn_blocking(move || {
        let made = backup::make(&store, &data, &backup::folder_for(&data, now), now);
        handle.metrics().backed_up(made.is_ok());
        match &made {
            Ok(made) => {
                tracing::info!(folder = %made.folder.display(), bytes = made.bytes, "a backup was made")
            }
            Err(error) => tracing::error!(%error, "a backup failed"),
        }
        // Whoever asked may have gone.
        drop(reply.send(made));
    });
}

fn open_store(
    config: &Config,
    sealer: Option<Arc<Sealer>>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<RocksStore>, StoreError> {
    let clock = clock.clone();
    let (clock, observer) = (Arc::new(move || clock.now()), Arc::clone(metrics) as _);
    let store = RocksStore::open_sealed(&config.storage, sealer, clock, observer)?;
    Ok(Arc::new(store))
}

/// The server's keys, as this configuration keeps them.
pub(crate) fn server_keys(
    config: &Config,
    sealer: Option<Arc<Sealer>>,
    start: Start,
    clock: &Clock,
) -> Result<ServerKeys, ServerKeyError> {
    let lives = KeyLives { overlap: config.server_key_overlap, retired: config.server_key_retired };
    ServerKeys::open(&config.storage.path, sealer, lives, start, clock.now())
}

/// A database that knows its issuer has seen a start come as far as the engine, which is after the keys were made.
async fn start_of(store: &dyn Store) -> Result<Start, StoreError> {
    Ok(match store.meta(MetaKey::Issuer).await? {
        None => Start::First,
        Some(_) => Start::Later,
    })
}

/// Who tells where calls come from; a fault is told with the place of its key.
pub(crate) fn open_origins(
    present: &Origins,
    config: &Config,
    clock: &Clock,
    proxies: &Proxies,
) -> Result<Origins, String> {
    let opened = present.reopened(config, clock, proxies);
    opened.map_err(|error| match config.effective.source_of(&error.key) {
        Some(place) => format!("{place}: {error}"),
        None => error.to_string(),
    })
}

/// What is wrong with the source of places.
pub(crate) fn check_origins(config: &Config) -> Option<String> {
    let clock = Clock::system();
    open_origins(&Origins::off(), config, &clock, &Proxies::uncounted(clock.clone())).err()
}

/// What is wrong with the providers' credential files.
pub(crate) fn check_providers(config: &Config) -> Vec<ProviderSetupError> {
    let clock = Clock::system();
    let proxies = Proxies::uncounted(clock.clone());
    build_drivers(config, &clock, &TokenShelf::none(), &proxies, None).err().unwrap_or_default()
}

/// First the doors, so that nothing new comes; then the engine; then the ops door too, which could be asked so far; last
/// the threads that all of it ran on.
async fn drain(engine: Engine, doors: OpenDoors, grace: Duration) {
    let unanswered = doors.drain(grace).await;
    match engine.settle().await {
        Drained::Complete if unanswered == 0 => tracing::info!("drained"),
        Drained::Complete => {
            tracing::warn!(unanswered, "the grace period ended before all calls were answered")
        }
        Drained::GraceEnded { waiting } => {
            tracing::warn!(unanswered, waiting, "the grace period ended before all calls were answered");
        }
    }
    doors.stop().await;
    engine.stop();
}

/// What is stored is stored; everything else is dropped.
fn abort(signal: &'static str) -> ! {
    tracing::warn!(signal, "ended without draining");
    std::process::exit(Exit::Failed.code().into());
}

/// The signals that a server listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one that asks for the end, by its name.
    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The next one, by its name; `None` for the one that asks for a reload.
    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            _ = self.terminate.recv() => Some("SIGTERM"),
            _ = self.interrupt.recv() => Some("SIGINT"),
            _ = self.hangup.recv() => None,
        }
    }
}
