//! The threads of a run: each has a worker, enrols the worker's phones and then works.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

use super::arrivals::Arrival;
use super::clock::RunClock;
use super::crowd::{CrowdPhone, Desk, KeptCrowd, KeptPhone};
use super::doors::Door;
use super::machine::Room;
use super::meter::Slices;
use super::signer::ServerKey;
use super::target::Reach;
use super::worker::{Briefing, Mail, Worker, WorkerEnd};
use crate::LoadtestError;

/// Enrolments of one worker at a time.
const ENROLMENTS_AT_ONCE: usize = 48;

/// What all members of the crew are started with.
#[derive(Debug)]
pub(super) struct Muster {
    pub(super) reach: Arc<Reach>,
    pub(super) workers: u32,
    pub(super) phones: u32,
    pub(super) hpke: bool,
    pub(super) room: Room,
    /// Phones that were enrolled by an earlier run.
    pub(super) kept: Option<KeptCrowd>,
    /// Phones are to be kept for a later one.
    pub(super) keeps: bool,
    /// Somebody wants it to end.
    pub(super) is_interrupted: Arc<AtomicBool>,
}

/// What a worker works with, once all phones are there.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) briefing: Arc<Briefing>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) mail: mpsc::Receiver<Mail>,
    pub(super) slices: mpsc::UnboundedSender<Slices>,
}

/// What came of a member's enrolments.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    pub(super) server_keys: Vec<ServerKey>,
    /// In the order of their numbers; empty where none are to be kept.
    pub(super) kept: Vec<KeptPhone>,
}

/// A thread of the crew.
#[derive(Debug)]
pub(super) struct Member {
    enrolled: oneshot::Receiver<Result<Enrolled, LoadtestError>>,
    orders: oneshot::Sender<Orders>,
    end: oneshot::Receiver<WorkerEnd>,
    thread: JoinHandle<()>,
}

/// A member at work.
#[derive(Debug)]
pub(super) struct AtWork {
    end: oneshot::Receiver<WorkerEnd>,
    thread: JoinHandle<()>,
}

impl Member {
    /// Starts the thread with this index, which enrols its phones at once and tells `progress` of each.
    pub(super) fn start(
        index: u32,
        muster: Arc<Muster>,
        progress: mpsc::UnboundedSender<()>,
    ) -> Result<Self, LoadtestError> {
        let (enrolled_sender, enrolled) = oneshot::channel();
        let (orders, orders_receiver) = oneshot::channel();
        let (end_sender, end) = oneshot::channel();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let error = LoadtestError::io("start a runtime")(error);
                    return drop(enrolled_sender.send(Err(error)));
                }
            };
            let whole = serve(index, muster, progress, enrolled_sender, orders_receiver, end_sender);
            LocalSet::new().block_on(&runtime, whole);
        };
        let thread = thread::Builder::new().name(format!("load-{index}")).spawn(body);
        let thread = thread.map_err(LoadtestError::io("start a thread"))?;
        Ok(Self { enrolled, orders, end, thread })
    }

    /// Waits until its phones are enrolled.
    pub(super) async fn enrolled(&mut self) -> Result<Enrolled, LoadtestError> {
        (&mut self.enrolled).await.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets it work.
    pub(super) fn work(self, orders: Orders) -> Result<AtWork, LoadtestError> {
        self.orders.send(orders).map_err(|_| gone())?;
        Ok(AtWork { end: self.end, thread: self.thread })
    }
}

impl AtWork {
    /// Waits for its end.
    pub(super) async fn end(self) -> Result<WorkerEnd, LoadtestError> {
        let end = self.end.await.map_err(|_| gone())?;
        // It has nothing left to do but to let its connections go.
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
        Ok(end)
    }
}

fn gone() -> LoadtestError {
    LoadtestError::Unexpected("a thread of the generator ended".to_owned())
}

async fn serve(
    index: u32,
    muster: Arc<Muster>,
    progress: mpsc::UnboundedSender<()>,
    enrolled: oneshot::Sender<Result<Enrolled, LoadtestError>>,
    orders: oneshot::Receiver<Orders>,
    end: oneshot::Sender<WorkerEnd>,
) {
    let phones = match muster_phones(index, &muster, progress).await {
        Ok((phones, came)) => {
            // Whoever waits no more has failed elsewhere.
            let _ = enrolled.send(Ok(came));
            phones
        }
        Err(error) => return drop(enrolled.send(Err(error))),
    };
    let Ok(Orders { briefing, arrivals, mail, slices }) = orders.await else { return };
    let [portal, device] = doors(&muster, briefing.clock);
    let worker = Worker::new(index, briefing, portal, device, phones);
    let _ = end.send(worker.run(arrivals, mail, slices).await);
}

fn doors(muster: &Muster, clock: RunClock) -> [Rc<Door>; 2] {
    let Muster { reach, room, workers, .. } = muster;
    let share = |connections: usize| connections / usize::try_from(*workers).unwrap_or(1).max(1);
    [(&reach.portal, room.portal_connections), (&reach.device, room.device_connections)].map(
        |(place, connections)| {
            Rc::new(Door::new(place.address, place.host.clone(), share(connections), clock))
        },
    )
}

async fn muster_phones(
    index: u32,
    muster: &Muster,
    progress: mpsc::UnboundedSender<()>,
) -> Result<(Vec<CrowdPhone>, Enrolled), LoadtestError> {
    let mut numbers = (index..muster.phones).step_by(usize::try_from(muster.workers).unwrap_or(1).max(1));
    if let Some(kept) = &muster.kept {
        let unusable =
            || LoadtestError::Unexpected("the file of the crowd has a key that is none".to_owned());
        let phones =
            numbers.map(|number| kept.phone(number).ok_or_else(unusable)).collect::<Result<_, _>>()?;
        return Ok((phones, Enrolled { server_keys: kept.server_keys().to_vec(), kept: Vec::new() }));
    }
    let [portal, device] = doors(muster, RunClock::start_now());
    let desk = Rc::new(Desk {
        portal,
        device,
        authorization: muster.reach.authorization.clone(),
        issuer: muster.reach.issuer.clone(),
        app: muster.reach.app.clone(),
        hpke: muster.hpke,
    });
    let (mut tasks, mut phones, mut came) = (JoinSet::new(), Vec::new(), Enrolled::default());
    loop {
        while tasks.len() < ENROLMENTS_AT_ONCE
            && let Some(number) = numbers.next()
        {
            let desk = Rc::clone(&desk);
            tasks.spawn_local(async move { (number, desk.enrol(number).await) });
        }
        let Some(done) = tasks.join_next().await else { break };
        if muster.is_interrupted.load(Ordering::Relaxed) {
            return Err(LoadtestError::Unexpected("interrupted before all phones were enrolled".to_owned()));
        }
        let (number, enrolled) = done.map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        let (phone, server_keys) = enrolled?;
        came.server_keys = server_keys;
        phones.push((number, phone));
        // Whoever counts may have gone.
        let _ = progress.send(());
    }
    phones.sort_by_key(|(number, _)| *number);
    let phones: Vec<CrowdPhone> = phones.into_iter().map(|(_, phone)| phone).collect();
    if muster.keeps {
        came.kept = phones.iter().map(KeptPhone::of).collect::<Result<_, _>>()?;
    }
    Ok((phones, came))
}
