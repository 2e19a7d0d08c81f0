//! A server with its outside and its crowd, ready to be loaded once or many times.

mod restart;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::arrivals::Arrival;
use super::clock::RunClock;
use super::conductor::conduct;
use super::crew::{Enrolled, Member, Muster, Orders};
use super::crowd::{KeptCrowd, KeptPhone};
use super::disk::measure_syncs;
use super::doors::Shortage;
use super::machine::{self, Room};
use super::meter::{FinishedMeter, RunMeter, Slices};
use super::outside::Outside;
use super::pelt::{Pelted, pelt};
use super::progress::Progress;
use super::receiver::Letterboxes;
use super::report::{BareRates, Build, DiskReport, Facts, Report, Target as ReportedTarget};
use super::run::RunOptions;
use super::scenario::Scenario;
use super::signer::ServerKeys;
use super::target::{Target, TargetChoice};
use super::watch::Watch;
use super::worker::{Briefing, WorkerEnd};
use crate::{HttpClient, LoadtestError, Server};

/// Arrivals and mail that a worker may leave unread.
const UNREAD_MAX: usize = 200_000;

/// Most threads of the generator; more only take processors from the server.
const WORKERS_MAX: usize = 8;

/// The file of the crowd in a folder that is kept.
const CROWD_FILE: &str = "crowd.json";

/// A flow that begins so much later than it was meant to says that the generator does not keep up.
const LATENESS_TOLD: Duration = Duration::from_millis(100);

/// Longest wait for the server's own counts.
const METRICS_DEADLINE: Duration = Duration::from_secs(10);

/// The running server with all that is around it.
#[derive(Debug)]
pub(super) struct Session {
    stage: Stage,
    members: Vec<Member>,
    enrolled: Enrolled,
    build: Build,
    bare: Option<BareRates>,
    checks_challenges: bool,
    shows_progress: bool,
    is_interrupted: Arc<AtomicBool>,
}

/// What is set up before phones enrol.
#[derive(Debug)]
struct Stage {
    workers: usize,
    room: Room,
    outside: Option<Outside>,
    letterboxes: Arc<Letterboxes>,
    target: Target,
    folder: Option<PathBuf>,
    _temporary: Option<TempDir>,
}

impl Session {
    /// Starts everything and enrols the phones. The scenario says how the server is configured and how many phones
    /// there are.
    pub(super) async fn open(
        options: &RunOptions,
        bare: Option<BareRates>,
        is_interrupted: &Arc<AtomicBool>,
    ) -> Result<Self, LoadtestError> {
        let workers = (machine::cores() / 2).clamp(1, WORKERS_MAX);
        let (boxes, mail) = (0..workers).map(|_| mpsc::channel(UNREAD_MAX)).unzip();
        let stage = set_up(options, workers, Arc::new(Letterboxes::new(boxes))).await?;
        let (members, enrolled) = enrol(options, &stage, mail, is_interrupted).await?;
        Ok(Self {
            build: build_of(&stage, &options.commit),
            stage,
            members,
            enrolled,
            bare,
            checks_challenges: options.checks_challenges,
            shows_progress: options.shows_progress,
            is_interrupted: Arc::clone(is_interrupted),
        })
    }

    /// Lets the flows of this scenario arrive and waits for what becomes of them. The scenario may differ from the
    /// session's in what portals and phones do and when.
    pub(super) async fn load(&mut self, scenario: &Scenario) -> Result<Report, LoadtestError> {
        let (meter, facts) = self.measure(scenario).await?;
        Ok(Report::new(scenario, &meter, facts))
    }

    async fn measure(&mut self, scenario: &Scenario) -> Result<(RunMeter, Facts), LoadtestError> {
        let before = self.stage.folder.as_deref().and_then(measure_syncs);
        let lost_before = self.stage.lost();
        let (started_at, clock) = (Timestamp::now(), RunClock::start_now());
        let briefing = Arc::new(self.brief(scenario, clock)?);
        if let Some(outside) = &mut self.stage.outside {
            outside.begin(clock, scenario.provider_phases.clone());
        }
        let mut watch = Watch::begin(clock, self.server_pid());
        let (ends, arrivals, slices) = self.begin(&briefing)?;
        let conductor = {
            let (arrivals_of, phones) = (scenario.arrivals(), scenario.phones.count);
            let is_interrupted = Arc::clone(&self.is_interrupted);
            let body = move || conduct(arrivals_of, phones, &arrivals, clock, &is_interrupted);
            let thread = thread::Builder::new().name("conductor".to_owned()).spawn(body);
            thread.map_err(LoadtestError::io("start a thread"))?
        };
        let mut meter = RunMeter::new();
        let ends = self.attend(scenario, clock, ends, slices, &mut meter, &mut watch).await?;
        let took = clock.now();
        let conducted = tokio::task::spawn_blocking(move || conductor.join()).await;
        let conducted: FinishedMeter = match conducted {
            Ok(Ok(conducted)) => conducted,
            Ok(Err(_)) | Err(_) => {
                return Err(LoadtestError::Unexpected("the thread of arrivals ended".to_owned()));
            }
        };
        let (resources, busy) = watch.end();
        let mut machine_limits = self.stage.limits(&ends, lost_before);
        machine_limits.extend(busy);
        meter.finish(conducted);
        ends.into_iter().for_each(|end| meter.finish(end.meter));
        let after = self.stage.folder.as_deref().and_then(measure_syncs);
        let disk = before.map(|before| DiskReport { before, after: after.unwrap_or_default() });
        let facts = Facts {
            started_at: started_at.to_string(),
            took,
            machine: machine::describe(),
            build: self.build.clone(),
            target: ReportedTarget {
                url: self.stage.target.portal_url.clone(),
                is_own: self.stage.target.own.is_some(),
            },
            machine_limits,
            resources,
            disk,
            bare: self.bare,
        };
        Ok((meter, facts))
    }

    /// The server's process, where it is ours.
    pub(super) fn server(&self) -> Option<&Server> {
        self.stage.target.own.as_ref().map(|own| &own.server)
    }

    /// What the server of its own counted until now, as Prometheus reads it.
    pub(super) async fn server_metrics(&self) -> Option<String> {
        let url = format!("{}/metrics", self.stage.target.own.as_ref()?.installation.ops_url());
        let request = http::Request::get(url).body(Bytes::new()).ok()?;
        let reply = HttpClient::new().call(request, METRICS_DEADLINE).await.ok()?;
        Some(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// Ends everything; whether the server of its own had ended by itself before.
    pub(super) async fn close(mut self) -> Option<LoadtestError> {
        let own = self.stage.target.own.as_mut()?;
        let fault = own.server.check_alive(&own.installation, "during the run").err();
        if fault.is_none()
            && let Some(own) = self.stage.target.own.take()
        {
            return own.server.stop().await.err();
        }
        fault
    }

    /// The memory of the server of its own.
    pub(super) fn resident_bytes(&self) -> Result<u64, LoadtestError> {
        let foreign = || LoadtestError::Unexpected("the server's memory cannot be seen".to_owned());
        self.server().ok_or_else(foreign)?.resident_bytes()
    }

    /// Throws wrong answers of each kind at the server of its own for so long, for the time numbered `run`.
    pub(super) async fn pelt(&self, run: u32, each: Duration) -> Result<Vec<Pelted>, LoadtestError> {
        let foreign = || LoadtestError::Unexpected("wrong answers are for a server of ours".to_owned());
        let server = self.server_pid().ok_or_else(foreign)?;
        let (reach, push_type) = (Arc::clone(&self.stage.target.reach), self.stage.target.push_type.clone());
        let pelted = tokio::task::spawn_blocking(move || pelt(&reach, &push_type, server, run, each)).await;
        pelted.unwrap_or_else(|error| Err(LoadtestError::Unexpected(error.to_string())))
    }

    fn server_pid(&self) -> Option<i32> {
        self.server().map(Server::pid)
    }

    fn brief(&self, scenario: &Scenario, clock: RunClock) -> Result<Briefing, LoadtestError> {
        let unusable = || LoadtestError::Unexpected("a server key is no P-256 key".to_owned());
        let server_keys = if self.checks_challenges {
            Some(ServerKeys::of(&self.enrolled.server_keys).ok_or_else(unusable)?)
        } else {
            None
        };
        let Stage { workers, target, outside, .. } = &self.stage;
        let authorization: HeaderValue = target.reach.authorization.clone();
        let receiver = outside.as_ref().map(|outside| &outside.receiver);
        Ok(Briefing {
            scenario: scenario.clone(),
            clock,
            workers: u32::try_from(*workers).unwrap_or(1),
            in_flight_max: scenario.flows.in_flight_max.div_ceil(*workers),
            authorization,
            issuer: target.reach.issuer.clone(),
            push_type: target.push_type.as_str().into(),
            code_type: target.code_type.as_str().into(),
            callback_urls: receiver
                .map(|receiver| (0..*workers).map(|index| receiver.callback_url(index)).collect())
                .unwrap_or_default(),
            server_keys,
            is_told_by_portal: outside.is_none(),
            run_id: Uuid::new_v4(),
            is_interrupted: Arc::clone(&self.is_interrupted),
        })
    }

    fn begin(&self, briefing: &Arc<Briefing>) -> Result<Begun, LoadtestError> {
        let (slices_sender, slices) = mpsc::unbounded_channel();
        let (mut ends, mut senders) = (Vec::new(), Vec::new());
        for member in &self.members {
            let (sender, arrivals) = mpsc::channel(UNREAD_MAX);
            let (end_sender, end) = oneshot::channel();
            let (briefing, slices) = (Arc::clone(briefing), slices_sender.clone());
            member.work(Orders { briefing, arrivals, slices, end: end_sender })?;
            ends.push(end);
            senders.push(sender);
        }
        Ok((ends, senders, slices))
    }

    /// Watches until all workers have ended.
    async fn attend(
        &self,
        scenario: &Scenario,
        clock: RunClock,
        ends: Vec<oneshot::Receiver<WorkerEnd>>,
        mut slices: mpsc::UnboundedReceiver<Slices>,
        meter: &mut RunMeter,
        watch: &mut Watch,
    ) -> Result<Vec<WorkerEnd>, LoadtestError> {
        let progress = Progress::running(&scenario.title, scenario.arrivals_last(), self.shows_progress);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Begun before: the first look has been.
        second.tick().await;
        loop {
            tokio::select! {
                more = slices.recv() => match more {
                    Some(more) => meter.absorb(more),
                    None => break,
                },
                _ = second.tick() => {
                    watch.look();
                    progress.show(clock.now(), &meter.live());
                }
            }
        }
        progress.end();
        let mut all = Vec::new();
        for end in ends {
            let gone = |_| LoadtestError::Unexpected("a thread of the generator ended".to_owned());
            all.push(end.await.map_err(gone)?);
        }
        Ok(all)
    }
}

type Begun = (Vec<oneshot::Receiver<WorkerEnd>>, Vec<mpsc::Sender<Arrival>>, mpsc::UnboundedReceiver<Slices>);

async fn set_up(
    options: &RunOptions,
    workers: usize,
    letterboxes: Arc<Letterboxes>,
) -> Result<Stage, LoadtestError> {
    let room = Room::make().for_portals(&options.scenario.portals);
    let (binary, folder) = match &options.target {
        TargetChoice::Own { binary, folder } => (binary.clone(), folder.clone()),
        TargetChoice::Foreign(foreign) => {
            let target = Target::of(foreign.clone(), &options.scenario)?;
            return Ok(Stage {
                workers,
                room,
                outside: None,
                letterboxes,
                target,
                folder: None,
                _temporary: None,
            });
        }
    };
    let outside = Outside::start(&letterboxes)?;
    let (path, temporary) = match &folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(LoadtestError::io("make the folder"))?;
            (folder.clone(), None)
        }
        None => {
            let temporary =
                TempDir::with_prefix("tocsin-load-").map_err(LoadtestError::io("make a folder"))?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let path = path.canonicalize().map_err(LoadtestError::io("find the folder"))?;
    let target = Target::start(&path, binary, &options.scenario, &outside, workers, &room).await?;
    Ok(Stage {
        workers,
        room,
        outside: Some(outside),
        letterboxes,
        target,
        folder: Some(path),
        _temporary: temporary,
    })
}

async fn enrol(
    options: &RunOptions,
    stage: &Stage,
    mail: Vec<mpsc::Receiver<super::worker::Mail>>,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<(Vec<Member>, Enrolled), LoadtestError> {
    let phones = &options.scenario.phones;
    let kept_file = match &options.target {
        // Keys that challenges are sealed to are not kept.
        TargetChoice::Own { folder: Some(_), .. } if !phones.hpke => {
            stage.folder.as_ref().map(|folder| folder.join(CROWD_FILE))
        }
        TargetChoice::Own { .. } | TargetChoice::Foreign(_) => None,
    };
    let issuer = &stage.target.reach.issuer;
    let kept = kept_file.as_deref().and_then(|file| KeptCrowd::read(file, issuer, phones.count));
    let keeps = kept_file.is_some() && kept.is_none();
    let muster = Arc::new(Muster {
        reach: Arc::clone(&stage.target.reach),
        workers: u32::try_from(stage.workers).unwrap_or(1),
        phones: phones.count,
        hpke: phones.hpke,
        room: stage.room,
        kept,
        keeps,
        is_interrupted: Arc::clone(is_interrupted),
    });
    let (one_more, mut each) = mpsc::unbounded_channel();
    let numbered = (0..muster.workers).zip(mail);
    let members =
        numbered.map(|(index, mail)| Member::start(index, Arc::clone(&muster), mail, one_more.clone()));
    let mut members = members.collect::<Result<Vec<_>, _>>()?;
    drop(one_more);
    let progress = Progress::enrolling(phones.count, options.shows_progress);
    // Ends when each member has enrolled its phones or failed.
    while each.recv().await.is_some() {
        progress.one_more();
    }
    progress.end();
    let mut all = Enrolled::default();
    let mut shares = Vec::new();
    for member in &mut members {
        let enrolled = member.enrolled().await?;
        if !enrolled.server_keys.is_empty() {
            all.server_keys = enrolled.server_keys;
        }
        shares.push(enrolled.kept.into_iter());
    }
    if let (Some(file), true) = (kept_file.as_deref(), keeps) {
        let phones = interleave(shares);
        KeptCrowd::new(issuer, all.server_keys.clone(), phones).write(file)?;
    }
    Ok((members, all))
}

/// One of each share in turn: phones go to workers by their numbers.
fn interleave(mut shares: Vec<std::vec::IntoIter<KeptPhone>>) -> Vec<KeptPhone> {
    let mut phones = Vec::new();
    loop {
        let before = phones.len();
        phones.extend(shares.iter_mut().filter_map(Iterator::next));
        if phones.len() == before {
            return phones;
        }
    }
}

/// What runs: the server's own word for its version, the profile by the folder that Cargo put it in, and the commit of
/// the tree that the tool is run in.
fn build_of(stage: &Stage, commit: &str) -> Build {
    let binary = stage.target.own.as_ref().map(|own| own.installation.binary().to_owned());
    let profile = binary.as_deref().and_then(Path::parent).and_then(Path::file_name);
    let profile = profile.map(|name| name.to_string_lossy().replace("debug", "dev"));
    Build {
        version: binary.as_deref().and_then(version_of).unwrap_or_default(),
        commit: if binary.is_some() { commit.to_owned() } else { String::new() },
        profile: profile.unwrap_or_default(),
    }
}

fn version_of(binary: &Path) -> Option<String> {
    let said = std::process::Command::new(binary).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    Some(said.strip_prefix("tocsin ").unwrap_or(&said).to_owned())
}

impl Stage {
    /// Pushes, codes and callbacks that the generator had no room for so far.
    fn lost(&self) -> u64 {
        self.letterboxes.overflowed() + self.outside.as_ref().map_or(0, Outside::overflowed)
    }

    /// Limits of machine and generator that were met, a sentence each.
    fn limits(&self, ends: &[WorkerEnd], lost_before: u64) -> Vec<String> {
        let mut limits = Vec::new();
        let shortage =
            ends.iter().fold(Shortage::default(), |sum, end| sum.plus(end.portal).plus(end.device));
        if shortage.waited > 0 {
            limits.push(format!("{} calls waited for a connection: {}", shortage.waited, self.room.bound()));
        }
        if shortage.queued > 0 {
            limits.push(format!(
                "{} times a portal asked for an outcome later, because {} long polls and event streams were open already: \
                 {}",
                shortage.queued,
                self.room.portal_held,
                self.room.bound()
            ));
        }
        if shortage.no_descriptor > 0 {
            limits.push(format!(
                "{} connections failed for want of file descriptors, of which there may be {}: raise ulimit -n",
                shortage.no_descriptor, self.room.descriptors
            ));
        }
        if shortage.no_port > 0 {
            limits.push(format!(
                "{} connections failed for want of local ports, of which there are {}: widen \
                 net.ipv4.ip_local_port_range",
                shortage.no_port, self.room.ports
            ));
        }
        let lost = self.lost() - lost_before;
        if lost > 0 {
            limits.push(format!(
                "{lost} pushes, codes and callbacks were lost by the generator, which did not keep up"
            ));
        }
        let late_max = ends.iter().map(|end| end.late_max).max().unwrap_or_default();
        if late_max > LATENESS_TOLD {
            limits.push(format!(
                "the generator began flows up to {:.2} s late; latencies from the intended time include it",
                late_max.as_secs_f64()
            ));
        }
        limits
    }
}
