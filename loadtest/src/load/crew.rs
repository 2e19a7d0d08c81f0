//! The threads of the generator: each enrols its share of the phones and then works, for one load after the other.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

use super::arrivals::Arrival;
use super::crowd::{CrowdPhone, Desk, KeptCrowd, KeptPhone};
use super::doors::{Bounds, Door};
use super::machine::Room;
use super::meter::Slices;
use super::signer::ServerKey;
use super::target::{Place, Reach};
use super::worker::{Briefing, Mail, Worker, WorkerEnd};
use crate::LoadtestError;

/// Enrolments of one worker at a time: many, since each waits for two syncs that it shares with the others.
const ENROLMENTS_AT_ONCE: usize = 512;

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

/// One load.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) briefing: Arc<Briefing>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) slices: mpsc::UnboundedSender<Slices>,
    pub(super) end: oneshot::Sender<WorkerEnd>,
}

/// What came of a member's enrolments.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    pub(super) server_keys: Vec<ServerKey>,
    /// In the order of their numbers; empty where none are to be kept.
    pub(super) kept: Vec<KeptPhone>,
}

/// A thread of the crew. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Member {
    enrolled: oneshot::Receiver<Result<Enrolled, LoadtestError>>,
    orders: mpsc::UnboundedSender<Orders>,
}

impl Member {
    /// Starts the thread with this index, which enrols its phones at once and tells `progress` of each.
    pub(super) fn start(
        index: u32,
        muster: Arc<Muster>,
        mail: mpsc::Receiver<Mail>,
        progress: mpsc::UnboundedSender<()>,
    ) -> Result<Self, LoadtestError> {
        let (enrolled_sender, enrolled) = oneshot::channel();
        let (orders, orders_receiver) = mpsc::unbounded_channel();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let error = LoadtestError::io("start a runtime")(error);
                    return drop(enrolled_sender.send(Err(error)));
                }
            };
            runtime.block_on(serve(index, muster, mail, progress, enrolled_sender, orders_receiver));
        };
        let thread = thread::Builder::new().name(format!("load-{index}")).spawn(body);
        thread.map_err(LoadtestError::io("start a thread"))?;
        Ok(Self { enrolled, orders })
    }

    /// Waits until its phones are enrolled.
    pub(super) async fn enrolled(&mut self) -> Result<Enrolled, LoadtestError> {
        (&mut self.enrolled).await.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets it work.
    pub(super) fn work(&self, orders: Orders) -> Result<(), LoadtestError> {
        self.orders.send(orders).map_err(|_| gone())
    }
}

fn gone() -> LoadtestError {
    LoadtestError::Unexpected("a thread of the generator ended".to_owned())
}

async fn serve(
    index: u32,
    muster: Arc<Muster>,
    mut mail: mpsc::Receiver<Mail>,
    progress: mpsc::UnboundedSender<()>,
    enrolled: oneshot::Sender<Result<Enrolled, LoadtestError>>,
    mut orders: mpsc::UnboundedReceiver<Orders>,
) {
    let [portal, device] = doors(&muster);
    let mustered = LocalSet::new().run_until(muster_phones(index, &muster, &portal, &device, progress)).await;
    let phones: Rc<[CrowdPhone]> = match mustered {
        Ok((phones, came)) => {
            // Whoever waits no more has failed elsewhere.
            let _ = enrolled.send(Ok(came));
            phones.into()
        }
        Err(error) => return drop(enrolled.send(Err(error))),
    };
    while let Some(Orders { briefing, arrivals, slices, end }) = orders.recv().await {
        // Of a load before.
        while mail.try_recv().is_ok() {}
        [&portal, &device].into_iter().for_each(|door| door.begin(briefing.clock));
        let worker = Worker::new(index, briefing, Rc::clone(&portal), Rc::clone(&device), Rc::clone(&phones));
        // What a load leaves behind ends with it.
        let _ = end.send(LocalSet::new().run_until(worker.run(arrivals, &mut mail, slices)).await);
    }
}

fn doors(muster: &Muster) -> [Rc<Door>; 2] {
    let Muster { reach, room, workers, .. } = muster;
    let share = |bound: usize| bound.div_ceil(usize::try_from(*workers).unwrap_or(1).max(1));
    let door = |place: &Place, connections_max, held_max| {
        let bounds = Bounds { connections_max: share(connections_max), held_max: share(held_max) };
        Rc::new(Door::new(place.clone(), bounds))
    };
    let device = room.device_connections;
    [door(&reach.portal, room.portal_connections, room.portal_held), door(&reach.device, device, device)]
}

async fn muster_phones(
    index: u32,
    muster: &Muster,
    portal: &Rc<Door>,
    device: &Rc<Door>,
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
    let desk = Rc::new(Desk {
        portal: Rc::clone(portal),
        device: Rc::clone(device),
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
            return Err(LoadtestError::Unexpected(
                "interrupted while phones enrolled; nothing has been loaded".to_owned(),
            ));
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
        came.kept = phones.iter().map(KeptPhone::of).collect();
    }
    Ok((phones, came))
}
