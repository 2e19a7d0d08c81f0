//! Thousands of long polls held at once, each on a connection of its own, and the memory that each takes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit};
use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};
use tokio::task::JoinSet;

use super::crowd::enrol_crowd;
use super::parallel::in_parallel;
use crate::error::ensure;
use crate::http_client::HttpClient;
use crate::{Installation, LoadtestError, Portal, Server, ServerOptions, StartFields, TYPE_LOGIN};

/// Long polls of one transaction; the server's default bound.
const PER_TRANSACTION: usize = 8;

/// Transactions of one user; the server's default bound.
const PER_USER: usize = 10;

/// Starts at a time.
const START_WORKERS: usize = 64;

/// Life of the transactions and length of the polls, in seconds: longer than the look.
const LIFE_S: u64 = 240;

/// Longest time until all are held.
const HELD_DEADLINE: Duration = Duration::from_secs(60);

/// Memory for one of them. Two buffers of 8 KiB are hyper's own.
const BYTES_PER_POLL_MAX: u64 = 20 * 1_024;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct HeldReport {
    /// Long polls.
    pub polls: usize,
    /// Memory before them and with all of them held, in bytes.
    pub resident_bytes: (u64, u64),
}

impl HeldReport {
    /// Growth of the server's memory for each long poll and its connection.
    pub fn bytes_per_poll(&self) -> u64 {
        let (before, with_all) = self.resident_bytes;
        with_all.saturating_sub(before) / u64::try_from(self.polls).unwrap_or(u64::MAX).max(1)
    }
}

impl fmt::Display for HeldReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} long polls held, {} bytes of memory each", self.polls, self.bytes_per_poll())
    }
}

/// Holds this many long polls, or as many as this process may have open files. Fails when they take too much memory.
pub async fn hold_long_polls(polls: usize) -> Result<HeldReport, LoadtestError> {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    let polls = polls.min(usize::try_from(files / 2).unwrap_or(usize::MAX));
    let folder = TempDir::with_prefix("tocsin-held-").map_err(LoadtestError::io("make a folder"))?;
    let world = Arc::new(World::start(WorldOptions::default()).await?);
    let options = ServerOptions { login_ttl_s: LIFE_S, log_filter: "warn", ..ServerOptions::default() };
    let installation = Installation::prepare(folder.path(), &world, &options)?;
    let portal = Portal::new(installation.portal_url(), installation.credentials())?;
    let server = Server::start(&installation).await?;
    let transactions = polls.div_ceil(PER_TRANSACTION);
    let members =
        Arc::new(enrol_crowd(transactions.div_ceil(PER_USER), &world, &portal, &installation).await?);
    let starter = portal.clone();
    let ids = in_parallel(START_WORKERS, transactions, move |index| {
        let (portal, members) = (starter.clone(), Arc::clone(&members));
        async move {
            let fields = StartFields::new(TYPE_LOGIN, &members[index % members.len()].user);
            Ok(portal.start(&fields, None).await?.view.id)
        }
    })
    .await?;
    let before = server.resident_bytes()?;
    let mut held = JoinSet::new();
    for index in 0..polls {
        let (portal, id) = (portal.clone(), ids[index % ids.len()]);
        held.spawn(async move { portal.wait(id, LIFE_S, None).await });
    }
    let begun = Instant::now();
    while waiters(&installation).await? < polls {
        if let Some(returned) = held.try_join_next() {
            return Err(LoadtestError::Unexpected(format!("a long poll returned early: {returned:?}")));
        }
        ensure(begun.elapsed() < HELD_DEADLINE, || "not all long polls were held".to_owned())?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = HeldReport { polls, resident_bytes: (before, server.resident_bytes()?) };
    held.shutdown().await;
    let status = server.stop().await?;
    ensure(status.success(), || format!("after SIGTERM the server ended with {status}"))?;
    ensure(report.bytes_per_poll() <= BYTES_PER_POLL_MAX, || format!("too much memory\n{report}"))?;
    Ok(report)
}

/// Calls that the server holds, as it counts them.
async fn waiters(installation: &Installation) -> Result<usize, LoadtestError> {
    let url = format!("{}/metrics", installation.ops_url());
    let request = http::Request::get(url).body(Bytes::new());
    let request = request.map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
    let reply = HttpClient::new().call(request, HELD_DEADLINE).await?;
    let metrics = String::from_utf8_lossy(&reply.body).into_owned();
    let count = metrics.lines().find_map(|line| line.strip_prefix("tocsin_waiters ")?.trim().parse().ok());
    count.ok_or_else(|| LoadtestError::Unexpected("the server does not tell how many wait".to_owned()))
}
