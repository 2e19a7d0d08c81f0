//! Kills of the running server at random moments under mixed load.
//!
//! One database lives through all of them. After each restart everything acknowledged is looked for; a reply that
//! contradicts an earlier one fails the whole. A kill counts as a hit when it left calls unanswered that a living
//! server had been sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};

use super::crowd::enrol_crowd;
use super::kill_report::KillReport;
use super::recheck::{PushBook, cancel_all, read_all, recheck};
use super::traffic::Traffic;
use crate::error::ensure;
use crate::random::Random;
use crate::{Installation, LoadtestError, Portal, Server, ServerOptions};

/// Users with a phone each.
const MEMBERS: usize = 64;

/// Calls that must be in flight when the server is killed.
const IN_FLIGHT_MIN: usize = 64;

/// Longest wait for so many.
const IN_FLIGHT_DEADLINE: Duration = Duration::from_secs(30);

/// How often the calls in flight are counted while waiting.
const IN_FLIGHT_POLL: Duration = Duration::from_micros(200);

/// Traffic before a kill, in milliseconds.
const TRAFFIC_MS: std::ops::Range<u64> = 20..400;

/// Longest time for the workers to notice that the server is gone.
const WORKERS_DEADLINE: Duration = Duration::from_secs(30);

/// Share of the restarts that are killed too, before they are ready.
const EARLY_KILL_PERCENT: u64 = 12;

/// Share of the kills that must hit unanswered calls.
const HIT_PERCENT_MIN: u32 = 75;

/// How often and in which order to kill.
#[derive(Clone, Debug)]
pub struct KillOptions {
    /// Kills under load.
    pub kills: u32,
    /// Decides what is done and when; the same seed makes the same plan, not the same race.
    pub seed: u64,
    /// A server in place of the one beside this executable.
    pub binary: Option<PathBuf>,
}

/// Kills the server again and again. Fails with everything that was found wrong; the folder of the server is then
/// kept, and its path told.
pub async fn survive_kills(options: KillOptions) -> Result<KillReport, LoadtestError> {
    let seed = options.seed;
    let folder = TempDir::with_prefix("tocsin-kills-").map_err(LoadtestError::io("make a folder"))?;
    match Killing::prepare(options, &folder).await?.run().await {
        Ok(report) => Ok(report),
        Err(error) => {
            let kept = folder.keep();
            let text = format!("TOCSIN_SEED={seed}: {error}\nkept: {}", kept.display());
            Err(LoadtestError::Unexpected(text))
        }
    }
}

struct Killing {
    options: KillOptions,
    world: Arc<World>,
    installation: Installation,
    server: Server,
    traffic: Arc<Traffic>,
    book: PushBook,
    random: Random,
    begun: Instant,
    report: KillReport,
}

impl Killing {
    async fn prepare(options: KillOptions, folder: &TempDir) -> Result<Self, LoadtestError> {
        let world = Arc::new(World::start(WorldOptions::default()).await?);
        let server_options = ServerOptions {
            transactions_per_user_max: 10_000,
            log_filter: "warn",
            binary: options.binary.clone(),
            ..ServerOptions::default()
        };
        let installation = Installation::prepare(folder.path(), &world, &server_options)?;
        let portal = Portal::new(installation.portal_url(), installation.credentials())?;
        let server = Server::start(&installation).await?;
        let members = enrol_crowd(MEMBERS, &world, &portal, &installation).await?;
        let traffic = Arc::new(Traffic::new(portal, members));
        let random = Random::new(options.seed);
        let report = KillReport::empty(options.seed);
        let (book, begun) = (PushBook::default(), Instant::now());
        Ok(Self { options, world, installation, server, traffic, book, random, begun, report })
    }

    async fn run(mut self) -> Result<KillReport, LoadtestError> {
        for round in 0..self.options.kills {
            self = self.kill_under_load(round).await?;
            let checked = recheck(&self.traffic, &self.world, &mut self.book, &mut self.random).await;
            // What contradicts an earlier reply explains why a check could not go on.
            self.check_contradictions()?;
            checked?;
        }
        self.end().await
    }

    async fn kill_under_load(mut self, round: u32) -> Result<Self, LoadtestError> {
        let mut workers = self.traffic.begin(round, &self.random);
        tokio::time::sleep(Duration::from_millis(self.random.within(TRAFFIC_MS))).await;
        self.wait_for_calls().await?;
        self.server.check_alive(&self.installation, "under load")?;
        self.traffic.mark_killed();
        let in_flight = self.traffic.in_flight();
        self.server.kill().await?;
        let gone = async { while workers.join_next().await.is_some() {} };
        let late =
            || LoadtestError::Deadline { what: "the end of the workers".to_owned(), after: WORKERS_DEADLINE };
        tokio::time::timeout(WORKERS_DEADLINE, gone).await.map_err(|_| late())?;
        let unanswered = self.traffic.unanswered();
        self.report.kills += 1;
        self.report.hits += u32::from(unanswered > 0);
        self.report.unanswered += unanswered;
        self.report.in_flight_min = self.report.in_flight_min.min(in_flight);
        self.report.in_flight_max = self.report.in_flight_max.max(in_flight);
        self.server = Self::restart(&self.installation, &mut self.random, &mut self.report).await?;
        Ok(self)
    }

    /// The last moment before a kill is one with enough calls in flight.
    async fn wait_for_calls(&self) -> Result<(), LoadtestError> {
        let begun = Instant::now();
        while self.traffic.in_flight() < IN_FLIGHT_MIN {
            ensure(begun.elapsed() < IN_FLIGHT_DEADLINE, || {
                format!("never {IN_FLIGHT_MIN} calls in flight: {:?}", self.traffic.ledger().contradictions())
            })?;
            tokio::time::sleep(IN_FLIGHT_POLL).await;
        }
        Ok(())
    }

    /// Starts the server again; now and then it is killed once more before it is ready.
    async fn restart(
        installation: &Installation,
        random: &mut Random,
        report: &mut KillReport,
    ) -> Result<Server, LoadtestError> {
        if random.chance(EARLY_KILL_PERCENT) {
            let server = Server::spawn(installation)?;
            let usual_ms =
                u64::try_from(report.restart_max.as_millis()).unwrap_or(u64::MAX).clamp(100, 1_000);
            tokio::time::sleep(Duration::from_millis(random.within(1..usual_ms))).await;
            server.kill().await?;
            report.early_kills += 1;
        }
        let server = Server::start(installation).await?;
        report.restart_max = report.restart_max.max(server.started_in());
        Ok(server)
    }

    fn check_contradictions(&self) -> Result<(), LoadtestError> {
        let ledger = self.traffic.ledger();
        let found = ledger.contradictions();
        ensure(found.is_empty(), || format!("after kill {}:\n  {}", self.report.kills, found.join("\n  ")))
    }

    /// Looks at every transaction once more, when each has its end.
    async fn end(mut self) -> Result<KillReport, LoadtestError> {
        let traffic = &self.traffic;
        let open = traffic.ledger().ids(|entry| entry.end.is_none());
        cancel_all(traffic, open).await?;
        let all = traffic.ledger().ids(|_| true);
        read_all(traffic, all).await?;
        let open = traffic.ledger().ids(|entry| entry.end.is_none()).len();
        ensure(open == 0, || format!("{open} transactions have no end"))?;
        self.check_contradictions()?;
        let status = self.server.stop().await?;
        ensure(status.success(), || format!("after SIGTERM the server ended with {status}"))?;
        self.report.enter(traffic);
        self.report.took = self.begun.elapsed();
        let KillReport { hits, kills, .. } = self.report;
        ensure(hits * 100 >= kills * HIT_PERCENT_MIN, || format!("only {hits} of {kills} kills hit calls"))?;
        Ok(self.report)
    }
}
