//! What every rig stands on: a folder, an authority, a clock and limits; and what is done with any driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tocsin_config::ProviderLimits;
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::Parcel;
use tocsin_engine::provider::{Driver, DriverReport};
use tocsin_mock::{Authority, Fault, FaultScript, ServerIdentity};
use tocsin_model::{DurationMs, UnixMs};
use tokio::task::JoinHandle;

/// Longer than any test may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A refusal that every network knows.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// The network has a fault.
    Internal,
    /// The network is not available.
    Unavailable,
    /// Too many parcels.
    Throttled,
    /// The credential is not good any more.
    Unauthenticated,
}

/// What a driver and the double of its network are made from.
pub struct Ground {
    pub clock: Clock,
    pub limits: ProviderLimits,
    pub ca_file: PathBuf,
    authority: Authority,
    folder: TempDir,
}

impl Ground {
    /// `trusts_others`: whether the driver trusts another authority than the server's.
    pub fn new(change: fn(&mut ProviderLimits), trusts_others: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new().expect("an authority");
        let ca_file = folder.path().join("ca.pem");
        let other = trusts_others.then(|| Authority::new().expect("another"));
        other.as_ref().unwrap_or(&authority).write_ca_pem(&ca_file).expect("written");
        let mut limits = limits();
        change(&mut limits);
        Self { clock: Clock::starting_at(wall_time()), limits, ca_file, authority, folder }
    }

    /// A certificate for a server.
    pub fn identity(&self) -> ServerIdentity {
        self.authority.issue().expect("issued")
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }
}

pub fn limits() -> ProviderLimits {
    ProviderLimits {
        connections_max: 2,
        queue_max: 1_000,
        supervised_max: 1_000,
        request_timeout: DurationMs::from_seconds(10),
        connect_timeout: DurationMs::from_seconds(10),
        ping_interval: DurationMs::from_seconds(60),
        ping_timeout: DurationMs::from_seconds(10),
        breaker_faults: 5,
        breaker_open: DurationMs::from_seconds(10),
    }
}

/// Shorter waits, for tests in which nobody answers.
pub fn impatient(limits: &mut ProviderLimits) {
    limits.request_timeout = DurationMs::new(500);
}

pub fn wall_time() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixMs::new(u64::try_from(since_epoch.as_millis()).expect("this era"))
}

pub async fn deliver(driver: &dyn Driver, parcel: &Parcel) -> DriverReport {
    let delivering = driver.deliver(parcel, &|| ());
    tokio::time::timeout(PATIENCE, delivering).await.expect("a parcel ends by itself")
}

/// Delivers in a task of its own.
pub fn spawn(driver: &Arc<dyn Driver>, parcel: Parcel) -> JoinHandle<DriverReport> {
    let driver = Arc::clone(driver);
    tokio::spawn(async move { driver.deliver(&parcel, &|| ()).await })
}

/// Waits for a condition that no event tells of.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn script<R: Clone>(script: &FaultScript<R>, times: u32, fault: Fault<R>) {
    if times == u32::MAX { script.for_all(fault) } else { script.for_next(times, fault) }.expect("room");
}

pub fn any_refusal<R>(fault: Fault<std::convert::Infallible>) -> Fault<R> {
    match fault {
        Fault::Refuse(never) => match never {},
        Fault::Delay(time) => Fault::Delay(time),
        Fault::NeverAnswer => Fault::NeverAnswer,
        Fault::CutBeforeReading => Fault::CutBeforeReading,
        Fault::CutAfterReading => Fault::CutAfterReading,
        Fault::CutAfterProcessing => Fault::CutAfterProcessing,
        Fault::GoAway { debug_data, processed } => Fault::GoAway { debug_data, processed },
        Fault::RefuseStream => Fault::RefuseStream,
        Fault::LowerStreamLimit => Fault::LowerStreamLimit,
    }
}
