//! Thousands of pending transactions run out on the real clock.
//!
//! Three looks at each end: by a long poll that was held over it (for a sample), by a read as soon as the latest
//! allowed moment has passed (for each), and by the end that the view then tells (for each). Beside it the memory
//! that a pending transaction takes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};
use tocsin_model::{DurationMs, State, TransactionId, UnixMs};
use tokio::task::JoinSet;

use super::crowd::{Member, enrol_crowd};
use super::parallel::in_parallel;
use super::timeout_report::{Percentiles, TimeoutReport};
use crate::error::ensure;
use crate::{Installation, LoadtestError, Portal, Server, ServerOptions, StartFields, TYPE_LOGIN};

/// Pending transactions of one user; the server's default bound.
const PER_USER: usize = 10;

/// Starts at a time.
const START_WORKERS: usize = 64;

/// Reads at a time.
const READ_WORKERS: usize = 32;

/// Transactions of the first measure of speed.
const WARM_UP: usize = 1_000;

/// Shortest and longest life that is given to the transactions, in seconds.
const TTL_S_RANGE: (u64, u64) = (10, 240);

/// How long after the last start nothing may have ended yet.
const QUIET: Duration = Duration::from_secs(3);

/// How late an end may be stored.
const LATE_MAX: Duration = Duration::from_millis(500);

/// How long one that is late is watched, in seconds, to say how late.
const LATE_WAIT_S: u64 = 20;

/// How much earlier than the server's clock this process's may run.
const CLOCKS_APART_MAX: Duration = Duration::from_millis(20);

/// Memory for one pending transaction.
const BYTES_PER_PENDING_MAX: u64 = 3 * 1_024;

/// Longest wait for the last push to be taken.
const PUSHES_DEADLINE: Duration = Duration::from_secs(60);

/// Memory for changes not yet in tables, so small that the pending transactions are not what fills it.
const WRITE_BUFFER_BYTES: u64 = 4 * 1_024 * 1_024;

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
    let stored_late = scene.read_each_when_due(pending).await?;
    let polled_late = returned(polls).await?;
    let status = scene.server.stop().await?;
    ensure(status.success(), || format!("after SIGTERM the server ended with {status}"))?;
    let report = TimeoutReport {
        transactions: options.transactions,
        ttl_s,
        starts_took,
        resident_bytes: (before, with_all),
        stored_late: Percentiles::of(stored_late),
        long_polls: polled_late.len(),
        polled_late: Percentiles::of(polled_late),
        took: begun.elapsed(),
    };
    ensure(report.bytes_per_pending() <= BYTES_PER_PENDING_MAX, || format!("too much memory\n{report}"))?;
    Ok(report)
}

/// A transaction that waits for its end.
#[derive(Clone, Copy, Debug)]
struct Pending {
    id: TransactionId,
    expires_at: UnixMs,
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
            write_buffer_bytes: WRITE_BUFFER_BYTES,
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
    fn hold_long_polls(&self, pending: &[Pending], count: usize) -> JoinSet<Result<Duration, LoadtestError>> {
        let mut polls = JoinSet::new();
        for index in 0..count.min(pending.len()) {
            let Pending { id, expires_at } = pending[index * pending.len() / count];
            let portal = self.portal.clone();
            polls.spawn(async move {
                let view = portal.wait(id, TTL_S_RANGE.1, None).await?;
                let late = since(expires_at);
                ensure(view.state == State::Timeout, || format!("{id} is {} at its end", view.state))?;
                late.ok_or_else(|| {
                    LoadtestError::Unexpected(format!("a long poll of {id} returned too early"))
                })
            });
        }
        polls
    }

    /// Reads each as soon as its end must have been stored; answers with how late that was by the view.
    async fn read_each_when_due(&self, pending: Arc<Vec<Pending>>) -> Result<Vec<Duration>, LoadtestError> {
        let portal = self.portal.clone();
        let count = pending.len();
        in_parallel(READ_WORKERS, count, move |index| {
            let (portal, Pending { id, expires_at }) = (portal.clone(), pending[index]);
            async move {
                let due = expires_at.plus(LATE_MAX.into());
                tokio::time::sleep(due.since(now()).to_std()).await;
                let view = portal.transaction(id).await?;
                if view.state == State::Pending {
                    return Err(too_late(&portal, id, expires_at).await);
                }
                let ended_at = view.ended_at.filter(|_| view.state == State::Timeout);
                let ended_at =
                    ended_at.ok_or_else(|| LoadtestError::Unexpected(format!("not a time-out: {view:?}")))?;
                let late = ended_at.since(expires_at).to_std();
                ensure(ended_at >= expires_at && late <= LATE_MAX, || {
                    format!("{id} ended at {ended_at:?}, its deadline was {expires_at:?}")
                })?;
                Ok(late)
            }
        })
        .await
    }
}

/// Says how late one was that should have ended.
async fn too_late(portal: &Portal, id: TransactionId, expires_at: UnixMs) -> LoadtestError {
    let seen_at = now();
    match portal.wait(id, LATE_WAIT_S, None).await {
        Ok(view) => LoadtestError::Unexpected(format!(
            "{id} was pending at {seen_at:?}, its deadline was {expires_at:?}; now it is {} since {:?}",
            view.state, view.ended_at
        )),
        Err(error) => error,
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

async fn returned(
    mut polls: JoinSet<Result<Duration, LoadtestError>>,
) -> Result<Vec<Duration>, LoadtestError> {
    let mut late = Vec::new();
    while let Some(ended) = polls.join_next().await {
        let of_one =
            ended.map_err(|error| LoadtestError::Unexpected(format!("a long poll ended: {error}")))??;
        ensure(of_one <= LATE_MAX, || format!("a long poll returned {of_one:?} after the deadline"))?;
        late.push(of_one);
    }
    Ok(late)
}

/// The time since `then`; `None` when it lies ahead by more than two clocks of one machine may differ.
fn since(then: UnixMs) -> Option<Duration> {
    let now = now();
    (then.since(now).to_std() <= CLOCKS_APART_MAX).then(|| now.since(then).to_std())
}

fn now() -> UnixMs {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::new(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ahead_has_not_come() {
        assert!(since(now().plus(DurationMs::from_seconds(60))).is_none());
        assert!(since(now()).is_some());
    }
}
