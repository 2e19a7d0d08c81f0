//! The world outside of a server under load, on a thread of its own: the doubles of Apple and Google in their fast
//! form, and the [`Receiver`] of callbacks and codes. It hands each push to its phone and misbehaves as the scenario
//! says.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tocsin_mock::{
    ApnsReason, ApnsRefusal, Fault, FaultScript, FcmRefusal, MockError, PushRecord, Strictness, World,
    WorldOptions,
};
use tokio::sync::{mpsc, oneshot};

use super::clock::RunClock;
use super::crowd::phone_of_target;
use super::phones::transaction_of;
use super::receiver::{Letterboxes, Receiver, SmsTrouble};
use super::scenario::{ProviderBehaviour, ProviderNetwork, ProviderPhase};
use super::worker::{Mail, PushMail};
use crate::{LoadtestError, PhoneKind};

/// Pushes that may wait to be handed out.
const PUSHES_MAX: usize = 200_000;

/// Pushes handed out at once.
const BATCH: usize = 256;

/// The running world; it ends when dropped.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) world: Arc<World>,
    pub(super) receiver: Arc<Receiver>,
    begin: mpsc::UnboundedSender<(RunClock, Vec<ProviderPhase>)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Outside {
    /// Starts everything; what it gets goes to these letterboxes.
    pub(super) fn start(letterboxes: &Arc<Letterboxes>) -> Result<Self, LoadtestError> {
        let (started, is_up) = blocking::channel();
        let (begin, begun) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let letterboxes = Arc::clone(letterboxes);
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(LoadtestError::io("start a runtime")(error)))),
            };
            runtime.block_on(async move {
                let up = open(letterboxes).await;
                let parts =
                    up.as_ref().ok().map(|(world, receiver)| (Arc::clone(world), Arc::clone(receiver)));
                let is_awaited = started.send(up).is_ok();
                if let (Some((world, receiver)), true) = (parts, is_awaited) {
                    let troubles = tokio::spawn(misbehave(Arc::clone(&world), receiver, begun));
                    // Ends also when whoever started it has gone without a word.
                    let _gone = stopped.await;
                    troubles.abort();
                    world.stop().await;
                }
            });
        };
        let thread = thread::Builder::new().name("outside".to_owned()).spawn(body);
        let thread = thread.map_err(LoadtestError::io("start a thread"))?;
        let ended = |_| LoadtestError::Unexpected("the thread of the doubles ended".to_owned());
        let (world, receiver) = is_up.recv().map_err(ended)??;
        Ok(Self { world, receiver, begin, stop: Some(stop), thread: Some(thread) })
    }

    /// A load begins: so do its troubles, in place of those of the load before.
    pub(super) fn begin(&mut self, clock: RunClock, phases: Vec<ProviderPhase>) {
        // Without the thread nothing works, which shows elsewhere.
        let _ = self.begin.send((clock, phases));
    }

    /// Pushes that the doubles had no room to hand out.
    pub(super) fn overflowed(&self) -> u64 {
        self.world.apns.pushes().overflowed() + self.world.fcm.pushes().overflowed()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed.
            let _panicked = thread.join();
        }
    }
}

async fn open(letterboxes: Arc<Letterboxes>) -> Result<(Arc<World>, Arc<Receiver>), LoadtestError> {
    let receiver = Receiver::start(Arc::clone(&letterboxes)).await?;
    let options = WorldOptions { strictness: Strictness::Fast, ..WorldOptions::default() };
    let world = Arc::new(World::start(options).await?);
    for kind in [PhoneKind::Iphone, PhoneKind::Android] {
        let pushes = kind.pushes(&world).subscribe_all(PUSHES_MAX);
        // Ends with the world.
        tokio::spawn(hand_out(kind, pushes, Arc::clone(&letterboxes)));
    }
    Ok((world, receiver))
}

async fn hand_out(
    kind: PhoneKind,
    mut pushes: mpsc::Receiver<Arc<PushRecord>>,
    letterboxes: Arc<Letterboxes>,
) {
    let mut records = Vec::with_capacity(BATCH);
    while pushes.recv_many(&mut records, BATCH).await > 0 {
        for record in records.drain(..) {
            let Some(phone) = phone_of_target(record.target()) else { continue };
            // What asks about no transaction is for nobody here.
            let Some(id) = transaction_of(kind, record.payload()) else { continue };
            let (arrived_at, payload) = (record.arrived_at, record.payload().clone());
            letterboxes.to_phone(phone, Mail::Push(PushMail { phone, kind, arrived_at, id, payload }));
        }
    }
}

/// Changes what goes wrong whenever a phase begins or ends, for one load after the other.
async fn misbehave(
    world: Arc<World>,
    receiver: Arc<Receiver>,
    mut begun: mpsc::UnboundedReceiver<(RunClock, Vec<ProviderPhase>)>,
) {
    let mut next = begun.recv().await;
    while let Some((clock, phases)) = next.take() {
        let mut changes: Vec<Duration> =
            phases.iter().flat_map(|phase| [phase.from, phase.from + phase.duration]).collect();
        changes.push(Duration::ZERO);
        changes.sort();
        changes.dedup();
        let change = async {
            for at in changes {
                tokio::time::sleep(at.saturating_sub(clock.now())).await;
                let on: Vec<ProviderPhase> = phases.iter().filter(|phase| phase.is_on(at)).cloned().collect();
                // A script is full only beyond thousands of rules.
                let _ = apply(&world, &receiver, &on);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = change => {}
            begun = begun.recv() => next = begun,
        }
    }
}

fn apply(world: &World, receiver: &Receiver, on: &[ProviderPhase]) -> Result<(), MockError> {
    world.apns.faults().clear();
    world.fcm.faults().clear();
    let mut sms = Vec::new();
    for phase in on {
        let per_mille = per_mille(phase.share.get());
        let (apns, fcm) = match phase.network {
            ProviderNetwork::Push => (true, true),
            ProviderNetwork::Apns => (true, false),
            ProviderNetwork::Fcm => (false, true),
            ProviderNetwork::Sms => {
                sms.push(SmsTrouble { behaviour: phase.behaviour, per_mille, saved: 0 });
                (false, false)
            }
        };
        if apns {
            script(world.apns.faults(), per_mille, apns_fault(phase.behaviour))?;
        }
        if fcm {
            script(world.fcm.faults(), per_mille, fcm_fault(phase.behaviour))?;
        }
    }
    receiver.trouble(sms);
    Ok(())
}

fn per_mille(share: f64) -> u16 {
    // Between 0 and 1,000.
    (share * 1_000.0).round() as u16
}

fn script<R: Clone>(script: &FaultScript<R>, per_mille: u16, fault: Fault<R>) -> Result<(), MockError> {
    if per_mille >= 1_000 { script.for_all(fault) } else { script.for_share(per_mille, fault) }
}

fn apns_fault(behaviour: ProviderBehaviour) -> Fault<ApnsRefusal> {
    match behaviour {
        ProviderBehaviour::Outage => Fault::Refuse(ApnsReason::ServiceUnavailable.into()),
        ProviderBehaviour::Slow { delay } => Fault::Delay(delay),
        // Apple names no time.
        ProviderBehaviour::TooMany { .. } => Fault::Refuse(ApnsReason::TooManyRequests.into()),
    }
}

fn fcm_fault(behaviour: ProviderBehaviour) -> Fault<FcmRefusal> {
    match behaviour {
        ProviderBehaviour::Outage => Fault::Refuse(FcmRefusal::Unavailable { retry_after: None }),
        ProviderBehaviour::Slow { delay } => Fault::Delay(delay),
        ProviderBehaviour::TooMany { retry_after } => {
            let retry_after = retry_after.map(|pause| pause.as_secs().to_string());
            Fault::Refuse(FcmRefusal::QuotaExceeded { retry_after })
        }
    }
}
