//! Thousands of pending transactions run out on the real clock.
//!
//! Three looks at each end: by a long poll that was held over it (for a sample), by a read that sees it stored before
//! the latest allowed moment (for each), and by the end that the view then tells (for each). Beside it the memory that
//! a pending transaction takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};
use tocsin_model::{DurationMs, State};
use tokio::task::JoinSet;

use super::crowd::{Member, enrol_crowd};
use super::disk_probe::{DiskProbe, now};
use super::parallel::in_parallel;
use super::seen_end::{LATE_MAX, Pending, SeenEnd};
use super::timeout_report::{Percentiles, TimeoutReport};
use crate::error::ensure;
use crate::{Installation, LoadtestError, Portal, Server, ServerOptions, StartFields, TYPE_LOGIN};

/// Pending transactions of one user; the server's default bound.
const PER_USER: usize = 10;

/// Starts at a time.
const START_WORKERS: usize = 64;

/// Reads at a time: enough that none waits for another one's reply beyond the latest allowed moment.
const READ_WORKERS: usize = 512;

/// Transactions of the first measure of speed.
const WARM_UP: usize = 1_000;

/// Shortest and longest life that is given to the transactions, in seconds.
const TTL_S_RANGE: (u64, u64) = (10, 240);

/// How long after the last start nothing may have ended yet.
const QUIET: Duration = Duration::from_secs(3);

/// How long after its deadline each is read.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// One in so many may be read too late to tell when its end was stored, as when the machine stood still; what it says of
/// its end counts all the same.
const UNTOLD_SHARE: usize = 20;

/// How long one that is late is watched, in seconds, to say how late.
const LATE_WAIT_S: u64 = 20;

/// How much earlier than the server's clock this process's may run.
const CLOCKS_APART_MAX: Duration = Duration::from_millis(20);

/// Memory for one pending transaction.
const BYTES_PER_PENDING_MAX: u64 = 3 * 1_024;

/// Longest wait for the last push to be taken.
const PUSHES_DEADLINE: Duration = Duration::from_secs(60);

/// How many to let run out.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutOptions {
    /// Pending transactions.
    pub transactions: usize,
    /// Long polls that are held over an end.
    pub long_polls: usize,
}

/// Lets them run out. Fails when one ended too early, too late, or not by time-out, and when they took too much memory.
pub async fn meet_deadlines(options: TimeoutOptions) -> Result<TimeoutReport, LoadtestError> {
    let begun = Instant::now();
    let folder = TempDir::with_prefix("tocsin-timeouts-").map_err(LoadtestError::io("make a folder"))?;
    let scene = Scene::set(options, &folder).await?;
    let probe = DiskProbe::start(folder.path())?;
    let ttl_s = scene.warm_up().await?;
    let before = scene.server.resident_bytes()?;
    let pushed_before = scene.pushes();
    let started = Instant::now();
    let pending = scene.start_all(options.transactions, ttl_s).await?;
    let starts_took = started.elapsed();
    scene.wait_for_pushes(pushed_before + pending.len() as u64).await?;
    let with_all = scene.server.resident_bytes()?;
    let polls = scene.hold_long_polls(&pending, options.long_polls);
    check_quiet(&pending, starts_took)?;
    let read = scene.read_each_when_due(pending).await?;
    let polled = returned(polls).await?;
    let status = scene.server.stop().await?;
    ensure(status.success(), || format!("after SIGTERM the server ended with {status}"))?;
    let stored_late = check_all(&read, &probe)?;
    check_all(&polled, &probe)?;
    let seen_late: Vec<Duration> = read.iter().filter_map(SeenEnd::seen_late).collect();
    let (told, all) = (seen_late.len(), read.len());
    ensure(told >= all - all / UNTOLD_SHARE, || format!("only {told} of {all} were read in time to tell"))?;
    let polled_late: Vec<Duration> = polled.iter().filter_map(SeenEnd::seen_late).collect();
    let report = TimeoutReport {
        transactions: options.transactions,
        ttl_s,
        starts_took,
        resident_bytes: (before, with_all),
        stored_late: Percentiles::of(stored_late),
        seen_late: Percentiles::of(seen_late),
        long_polls: polled_late.len(),
        polled_late: Percentiles::of(polled_late),
        slowest_sync: probe.slowest(),
        took: begun.elapsed(),
    };
    ensure(report.bytes_per_pending() <= BYTES_PER_PENDING_MAX, || format!("too much memory\n{report}"))?;
    Ok(report)
}

struct Scene {
    world: Arc<World>,
    server: Server,
    portal: Portal,
    members: Arc<Vec<Member>>,
}

impl Scene {
    async fn set(options: TimeoutOptions, folder: &TempDir) -> Result<Self, LoadtestError> {
        let world = Arc::new(World::start(WorldOptions::default()).await?);
        let server_options = ServerOptions {
            login_ttl_s: TTL_S_RANGE.1,
            linger_ms: 0,
            log_filter: "warn",
            ..ServerOptions::default()
        };
        let installation = Installation::prepare(folder.path(), &world, &server_options)?;
        let portal = Portal::new(installation.portal_url(), installation.credentials())?;
        let server = Server::start(&installation).await?;
        let count = options.transactions.div_ceil(PER_USER);
        let members = enrol_crowd(count, &world, &portal, &installation).await?;
        Ok(Self { world, server, portal, members: Arc::new(members) })
    }

    /// Fills what is only filled once, and finds a life that leaves time for all starts on this machine. Each is
    /// withdrawn at once, so that no room is left behind into which the pending ones would fit unseen.
    async fn warm_up(&self) -> Result<u64, LoadtestError> {
        let begun = Instant::now();
        let (portal, members) = (self.portal.clone(), Arc::clone(&self.members));
        in_parallel(START_WORKERS, WARM_UP, move |index| {
            let (portal, members) = (portal.clone(), Arc::clone(&members));
            async move {
                let fields = StartFields::new(TYPE_LOGIN, &members[index % members.len()].user);
                let id = portal.start(&fields, None).await?.view.id;
                portal.cancel(id).await
            }
        })
        .await?;
        let seconds_each = begun.elapsed().as_secs_f64() / WARM_UP as f64;
        let all_s = (seconds_each * (self.members.len() * PER_USER) as f64).ceil() as u64;
        Ok((all_s + all_s / 2 + 2 * QUIET.as_secs()).clamp(TTL_S_RANGE.0, TTL_S_RANGE.1))
    }

    async fn start_all(&self, count: usize, ttl_s: u64) -> Result<Arc<Vec<Pending>>, LoadtestError> {
        let (portal, members) = (self.portal.clone(), Arc::clone(&self.members));
        let pending = in_parallel(START_WORKERS, count, move |index| {
            let (portal, members) = (portal.clone(), Arc::clone(&members));
            async move {
                let user = &members[index % members.len()].user;
                let fields = StartFields { ttl_s: Some(ttl_s), ..StartFields::new(TYPE_LOGIN, user) };
                let view = portal.start(&fields, None).await?.view;
                let life = view.expires_at.since(view.created_at);
                ensure(life == DurationMs::from_seconds(ttl_s), || format!("{} lives {life:?}", view.id))?;
                Ok(Pending { id: view.id, expires_at: view.expires_at })
            }
        });
        Ok(Arc::new(pending.await?))
    }

    /// Pushes that both networks have taken.
    fn pushes(&self) -> u64 {
        self.world.apns.pushes().accepted() + self.world.fcm.pushes().accepted()
    }

    /// Each network has taken every push, so that nothing else is under way.
    async fn wait_for_pushes(&self, wanted: u64) -> Result<(), LoadtestError> {
        let begun = Instant::now();
        while self.pushes() < wanted {
            ensure(begun.elapsed() < PUSHES_DEADLINE, || "the pushes were not all taken".to_owned())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Holds long polls over the ends of transactions that lie evenly among all; each gives its lateness.
    fn hold_long_polls(&self, all: &[Pending], count: usize) -> JoinSet<Result<SeenEnd, LoadtestError>> {
        let mut polls = JoinSet::new();
        for index in 0..count.min(all.len()) {
            let pending = all[index * all.len() / count];
            let portal = self.portal.clone();
            polls.spawn(async move {
                let view = portal.wait(pending.id, TTL_S_RANGE.1, None).await?;
                let seen_at = now();
                let early = pending.expires_at.since(seen_at).to_std();
                ensure(early <= CLOCKS_APART_MAX, || format!("a long poll returned {early:?} too early"))?;
                SeenEnd::of(pending, &view, Some(seen_at))
            });
        }
        polls
    }

    /// Reads each soon after its deadline, with time left until its end must have been stored. One that still pends
    /// is watched to its end.
    async fn read_each_when_due(&self, all: Arc<Vec<Pending>>) -> Result<Vec<SeenEnd>, LoadtestError> {
        let portal = self.portal.clone();
        let count = all.len();
        in_parallel(READ_WORKERS, count, move |index| {
            let (portal, pending) = (portal.clone(), all[index]);
            async move {
                let look_at = pending.expires_at.plus(LOOK_AFTER.into());
                tokio::time::sleep(look_at.since(now()).to_std()).await;
                let can_tell = now().since(pending.expires_at).to_std() < LATE_MAX;
                let mut view = portal.transaction(pending.id).await?;
                // However late it is asked, one that still pends was not stored in time.
                let can_tell = can_tell || view.state == State::Pending;
                if view.state == State::Pending {
                    view = portal.wait(pending.id, LATE_WAIT_S, None).await?;
                }
                SeenEnd::of(pending, &view, can_tell.then(now))
            }
        })
        .await
    }
}

/// All were pending together, for some time.
fn check_quiet(pending: &[Pending], starts_took: Duration) -> Result<(), LoadtestError> {
    let first = pending.iter().map(|pending| pending.expires_at).min().unwrap_or_default();
    let left = first.since(now()).to_std();
    ensure(left >= QUIET / 2, || {
        format!("the starts took {starts_took:?}, so that {left:?} were left until the first end")
    })
}

fn check_all(ends: &[SeenEnd], probe: &DiskProbe) -> Result<Vec<Duration>, LoadtestError> {
    ends.iter().map(|end| end.check(|from, to| probe.slowest_between(from, to))).collect()
}

async fn returned(mut polls: JoinSet<Result<SeenEnd, LoadtestError>>) -> Result<Vec<SeenEnd>, LoadtestError> {
    let mut ends = Vec::new();
    while let Some(ended) = polls.join_next().await {
        ends.push(ended.map_err(|error| LoadtestError::Unexpected(format!("a long poll ended: {error}")))??);
    }
    Ok(ends)
}
