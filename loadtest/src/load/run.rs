//! A whole run: the outside, the server, the crowd, then the load, then what is left of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::clock::RunClock;
use super::conductor::conduct;
use super::crew::{AtWork, Enrolled, Member, Muster, Orders};
use super::crowd::{KeptCrowd, KeptPhone};
use super::disk::measure_syncs;
use super::doors::Shortage;
use super::machine::{self, Room};
use super::meter::{FinishedMeter, Latencies, RunMeter, Slices};
use super::outside::Outside;
use super::progress::Progress;
use super::receiver::Letterboxes;
use super::report::{Build, DiskReport, Facts, Report, Target as ReportedTarget};
use super::scenario::Scenario;
use super::signer::ServerKeys;
use super::target::{Target, TargetChoice};
use super::watch::Watch;
use super::worker::{Briefing, Mail, WorkerEnd};
use crate::{HttpClient, LoadtestError};

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

/// What a run is made with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What shall happen.
    pub scenario: Scenario,
    /// To whom.
    pub target: TargetChoice,
    /// Phones check the signature of each challenge, as they do in the world.
    pub checks_challenges: bool,
    /// A bar is shown where there is a terminal.
    pub shows_progress: bool,
    /// The commit that was built, for the report.
    pub commit: String,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// The report.
    pub report: Report,
    /// It was ended by somebody before its time.
    pub was_interrupted: bool,
    /// What the server of its own counted until the end, as Prometheus reads it.
    pub server_metrics: Option<String>,
    /// The server of its own ended by itself.
    pub server_fault: Option<LoadtestError>,
}

/// What is set up before the load begins.
struct Stage {
    room: Room,
    outside: Option<Outside>,
    letterboxes: Arc<Letterboxes>,
    mail: Vec<mpsc::Receiver<Mail>>,
    target: Target,
    folder: Option<PathBuf>,
    _temporary: Option<TempDir>,
}

/// Makes a run. `interrupt` ends it before its time, with a report of what it was until then.
pub async fn run(options: RunOptions, interrupt: impl Future<Output = ()>) -> Result<Ran, LoadtestError> {
    let workers = (machine::cores() / 2).clamp(1, WORKERS_MAX);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let mut stage = set_up(&options, workers).await?;
    let work = async {
        let ran = load(&options, &mut stage, workers, &is_interrupted).await;
        (ran, stage)
    };
    tokio::pin!(work, interrupt);
    let (ran, stage) = tokio::select! {
        done = &mut work => done,
        () = &mut interrupt => {
            is_interrupted.store(true, Ordering::Relaxed);
            work.await
        }
    };
    let (meter, mut facts) = ran?;
    let server_metrics = read_metrics(&stage).await;
    let server_fault = tear_down(stage, &mut facts).await;
    let report = Report::new(&options.scenario, &meter, facts);
    let was_interrupted = is_interrupted.load(Ordering::Relaxed);
    Ok(Ran { report, was_interrupted, server_metrics, server_fault })
}

async fn set_up(options: &RunOptions, workers: usize) -> Result<Stage, LoadtestError> {
    let room = Room::make();
    let (boxes, mail) = (0..workers).map(|_| mpsc::channel(UNREAD_MAX)).unzip();
    let letterboxes = Arc::new(Letterboxes::new(boxes));
    let (binary, folder) = match &options.target {
        TargetChoice::Own { binary, folder } => (binary.clone(), folder.clone()),
        TargetChoice::Foreign(foreign) => {
            let target = Target::of(foreign.clone(), &options.scenario)?;
            return Ok(Stage {
                room,
                outside: None,
                letterboxes,
                mail,
                target,
                folder: None,
                _temporary: None,
            });
        }
    };
    let outside = Outside::start(&letterboxes, options.scenario.provider_phases.clone())?;
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
        room,
        outside: Some(outside),
        letterboxes,
        mail,
        target,
        folder: Some(path),
        _temporary: temporary,
    })
}

/// Enrols the phones and lets the flows arrive.
async fn load(
    options: &RunOptions,
    stage: &mut Stage,
    workers: usize,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<(RunMeter, Facts), LoadtestError> {
    let (members, enrolled) = enrol(options, stage, workers, is_interrupted).await?;
    let before = stage.folder.as_deref().and_then(measure_syncs);
    let pid = stage.target.own.as_ref().map(|own| own.server.pid());
    let (started_at, clock) = (Timestamp::now(), RunClock::start_now());
    let briefing = Arc::new(brief(options, stage, &enrolled, workers, clock, is_interrupted)?);
    if let Some(outside) = &mut stage.outside {
        outside.begin(clock);
    }
    let mut watch = Watch::begin(clock, pid);
    let (at_work, arrivals, slices) = begin(members, &briefing, &mut stage.mail)?;
    let conductor = {
        let (arrivals_of, phones) = (options.scenario.arrivals(), options.scenario.phones.count);
        let is_interrupted = Arc::clone(is_interrupted);
        let body = move || conduct(arrivals_of, phones, &arrivals, clock, &is_interrupted);
        let thread = thread::Builder::new().name("conductor".to_owned()).spawn(body);
        thread.map_err(LoadtestError::io("start a thread"))?
    };
    let mut meter = RunMeter::new();
    let ends = attend(options, clock, at_work, slices, &mut meter, &mut watch).await?;
    let took = clock.now();
    let conducted = tokio::task::spawn_blocking(move || conductor.join()).await;
    let conducted: FinishedMeter = match conducted {
        Ok(Ok(conducted)) => conducted,
        Ok(Err(_)) | Err(_) => {
            return Err(LoadtestError::Unexpected("the thread of arrivals ended".to_owned()));
        }
    };
    let (resources, busy) = watch.end();
    let mut machine_limits = limits(stage, &ends);
    machine_limits.extend(busy);
    meter.finish(conducted);
    ends.into_iter().for_each(|end| meter.finish(end.meter));
    let facts = Facts {
        started_at: started_at.to_string(),
        took,
        machine: machine::describe(),
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: options.commit.clone(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
        },
        target: ReportedTarget { url: stage.target.portal_url.clone(), is_own: stage.target.own.is_some() },
        machine_limits,
        resources,
        disk: before.map(|before| DiskReport { before, after: Latencies::default() }),
        bare: None,
    };
    Ok((meter, facts))
}

async fn enrol(
    options: &RunOptions,
    stage: &Stage,
    workers: usize,
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
        workers: u32::try_from(workers).unwrap_or(1),
        phones: phones.count,
        hpke: phones.hpke,
        room: stage.room,
        kept,
        keeps,
        is_interrupted: Arc::clone(is_interrupted),
    });
    let (one_more, mut each) = mpsc::unbounded_channel();
    let members =
        (0..muster.workers).map(|index| Member::start(index, Arc::clone(&muster), one_more.clone()));
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

fn brief(
    options: &RunOptions,
    stage: &Stage,
    enrolled: &Enrolled,
    workers: usize,
    clock: RunClock,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<Briefing, LoadtestError> {
    let unusable = || LoadtestError::Unexpected("a server key is no P-256 key".to_owned());
    let server_keys = if options.checks_challenges {
        Some(ServerKeys::of(&enrolled.server_keys).ok_or_else(unusable)?)
    } else {
        None
    };
    let authorization: HeaderValue = stage.target.reach.authorization.clone();
    let receiver = stage.outside.as_ref().map(|outside| &outside.receiver);
    Ok(Briefing {
        scenario: options.scenario.clone(),
        clock,
        workers: u32::try_from(workers).unwrap_or(1),
        in_flight_max: options.scenario.flows.in_flight_max.div_ceil(workers),
        authorization,
        issuer: stage.target.reach.issuer.clone(),
        push_type: stage.target.push_type.as_str().into(),
        code_type: stage.target.code_type.as_str().into(),
        callback_urls: receiver
            .map(|receiver| (0..workers).map(|index| receiver.callback_url(index)).collect())
            .unwrap_or_default(),
        server_keys,
        is_told_by_portal: stage.outside.is_none(),
        run_id: Uuid::new_v4(),
        is_interrupted: Arc::clone(is_interrupted),
    })
}

type Begun = (Vec<AtWork>, Vec<mpsc::Sender<super::arrivals::Arrival>>, mpsc::UnboundedReceiver<Slices>);

fn begin(
    members: Vec<Member>,
    briefing: &Arc<Briefing>,
    mail: &mut Vec<mpsc::Receiver<Mail>>,
) -> Result<Begun, LoadtestError> {
    let (slices_sender, slices) = mpsc::unbounded_channel();
    let (mut at_work, mut senders) = (Vec::new(), Vec::new());
    for (member, mail) in members.into_iter().zip(mail.drain(..)) {
        let (sender, arrivals) = mpsc::channel(UNREAD_MAX);
        let (briefing, slices) = (Arc::clone(briefing), slices_sender.clone());
        at_work.push(member.work(Orders { briefing, arrivals, mail, slices })?);
        senders.push(sender);
    }
    Ok((at_work, senders, slices))
}

/// Watches the run until all workers have ended.
async fn attend(
    options: &RunOptions,
    clock: RunClock,
    at_work: Vec<AtWork>,
    mut slices: mpsc::UnboundedReceiver<Slices>,
    meter: &mut RunMeter,
    watch: &mut Watch,
) -> Result<Vec<WorkerEnd>, LoadtestError> {
    let lasts = options.scenario.arrivals_last();
    let progress = Progress::running(&options.scenario.title, lasts, options.shows_progress);
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
    let mut ends = Vec::new();
    for worker in at_work {
        ends.push(worker.end().await?);
    }
    Ok(ends)
}

/// Limits of machine and generator that were met, a sentence each.
fn limits(stage: &Stage, ends: &[WorkerEnd]) -> Vec<String> {
    let mut limits = Vec::new();
    let shortage = ends.iter().fold(Shortage::default(), |sum, end| sum.plus(end.portal).plus(end.device));
    if shortage.waited > 0 {
        limits.push(format!("{} calls waited for a connection: {}", shortage.waited, stage.room.bound()));
    }
    if shortage.no_descriptor > 0 {
        limits.push(format!(
            "{} connections failed for want of file descriptors, of which there may be {}: raise ulimit -n",
            shortage.no_descriptor, stage.room.descriptors
        ));
    }
    if shortage.no_port > 0 {
        limits.push(format!(
            "{} connections failed for want of local ports, of which there are {}: widen \
             net.ipv4.ip_local_port_range",
            shortage.no_port, stage.room.ports
        ));
    }
    let lost = stage.letterboxes.overflowed() + stage.outside.as_ref().map_or(0, Outside::overflowed);
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

async fn read_metrics(stage: &Stage) -> Option<String> {
    let url = format!("{}/metrics", stage.target.own.as_ref()?.installation.ops_url());
    let request = http::Request::get(url).body(Bytes::new()).ok()?;
    let reply = HttpClient::new().call(request, METRICS_DEADLINE).await.ok()?;
    Some(String::from_utf8_lossy(&reply.body).into_owned())
}

/// Measures the disk again and ends everything; whether the server of its own had ended by itself before.
async fn tear_down(mut stage: Stage, facts: &mut Facts) -> Option<LoadtestError> {
    if let (Some(disk), Some(after)) = (&mut facts.disk, stage.folder.as_deref().and_then(measure_syncs)) {
        disk.after = after;
    }
    let own = stage.target.own.as_mut()?;
    let fault = own.server.check_alive(&own.installation, "during the run").err();
    if fault.is_none()
        && let Some(own) = stage.target.own.take()
    {
        return own.server.stop().await.err();
    }
    fault
}

/// Writes the report's two forms where they are wanted.
pub fn write_report(report: &Report, json: Option<&Path>, html: Option<&Path>) -> Result<(), LoadtestError> {
    let unwritable = |error: &dyn std::fmt::Display| LoadtestError::Unexpected(error.to_string());
    if let Some(path) = json {
        let text = report.to_json().map_err(|error| unwritable(&error))?;
        std::fs::write(path, text).map_err(LoadtestError::io("write the report"))?;
    }
    if let Some(path) = html {
        std::fs::write(path, report.to_html()).map_err(LoadtestError::io("write the report's page"))?;
    }
    Ok(())
}
