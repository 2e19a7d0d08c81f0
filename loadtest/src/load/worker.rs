//! One thread of the generator: its share of the phones with their users' portals, and all that it counts.
//!
//! A flow is two tasks that know little of each other, as in the world: the portal's ([`portals`](super::portals)),
//! which starts a transaction and learns of its end, and the phone's ([`phones`](super::phones)), which begins when a
//! push comes. Everything here is of this thread; others reach it through two bounded channels.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HeaderValue;
use tocsin_model::State;
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::arrivals::Arrival;
use super::bindings::Bindings;
use super::clock::RunClock;
use super::crowd::CrowdPhone;
use super::doors::{Door, Shortage};
use super::meter::{FinishedMeter, Outcome, Slices, Stage, WorkerMeter};
use super::plan::{FlowPlan, Waiting};
use super::scenario::Scenario;
use super::signer::ServerKeys;
use crate::PhoneKind;

/// Messages taken from a channel at once.
const BATCH: usize = 256;

/// How often counts are handed out, and the end of the run looked for.
const TICK: Duration = Duration::from_millis(200);

/// How long flows have to end after an interruption.
const INTERRUPTED_DRAIN: Duration = Duration::from_secs(2);

/// Callbacks that may be sooner than the reply to the call that they are about.
const EARLY_CALLBACKS_MAX: usize = 4_096;

/// What the outside world has for a user or a portal.
#[derive(Debug)]
pub(super) enum Mail {
    /// A push to a phone.
    Push(PushMail),
    /// A message with a code to the user of a phone.
    Code { phone: u32, code: Box<str> },
    /// An outcome for a portal.
    Callback { id: Uuid, state: Box<str> },
}

/// A push as its network had it.
#[derive(Debug)]
pub(super) struct PushMail {
    pub(super) phone: u32,
    pub(super) kind: PhoneKind,
    pub(super) arrived_at: Instant,
    /// The transaction that it asks about.
    pub(super) id: Uuid,
    pub(super) payload: Bytes,
}

/// What all workers know.
#[derive(Debug)]
pub(super) struct Briefing {
    pub(super) scenario: Scenario,
    pub(super) clock: RunClock,
    pub(super) workers: u32,
    pub(super) in_flight_max: usize,
    /// Basic, for the portal.
    pub(super) authorization: HeaderValue,
    pub(super) issuer: Box<str>,
    pub(super) push_type: Box<str>,
    pub(super) code_type: Box<str>,
    /// Where each worker is called back; empty where nobody can be.
    pub(super) callback_urls: Vec<String>,
    /// `None`: challenges are taken as they are.
    pub(super) server_keys: Option<ServerKeys>,
    /// Phones get no push that we see: they are told by the portal's reply.
    pub(super) is_told_by_portal: bool,
    /// Makes what this run sends unlike what others sent.
    pub(super) run_id: Uuid,
    /// Somebody wants it to end.
    pub(super) is_interrupted: Arc<AtomicBool>,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) index: u32,
    pub(super) briefing: Arc<Briefing>,
    pub(super) portal: Rc<Door>,
    pub(super) device: Rc<Door>,
    /// Those whose number, divided by the number of workers, leaves this one's index.
    phones: Rc<[CrowdPhone]>,
    meter: RefCell<WorkerMeter>,
    flows: RefCell<HashMap<u64, Rc<Flow>>>,
    bindings: RefCell<Bindings<PushMail>>,
    /// Flows by the phone whose user may get a code, the oldest first.
    awaiting_code: RefCell<HashMap<u32, VecDeque<u64>>>,
    early_callbacks: RefCell<HashMap<Uuid, Box<str>>>,
    proofs: Cell<u64>,
    /// Phones whose users will still do something.
    busy_phones: Cell<usize>,
    late_max: Cell<Duration>,
}

/// One flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) number: u64,
    pub(super) plan: FlowPlan,
    pub(super) intended: Duration,
    /// When the last try of its start went out.
    pub(super) sent: Cell<Duration>,
    pub(super) id: Cell<Option<Uuid>>,
    pub(super) answer_sent: Cell<Option<Duration>>,
    pub(super) is_pushed: Cell<bool>,
    /// A code that came before the id was known.
    pub(super) early_code: RefCell<Option<Box<str>>>,
    /// What a callback said.
    pub(super) called_back: RefCell<Option<Box<str>>>,
    pub(super) bell: Notify,
}

/// What a worker leaves.
#[derive(Debug)]
pub(super) struct WorkerEnd {
    pub(super) meter: FinishedMeter,
    pub(super) portal: Shortage,
    pub(super) device: Shortage,
    /// How late the latest flow began, seen from its intended time.
    pub(super) late_max: Duration,
}

impl Worker {
    /// A worker with its phones.
    pub(super) fn new(
        index: u32,
        briefing: Arc<Briefing>,
        portal: Rc<Door>,
        device: Rc<Door>,
        phones: Rc<[CrowdPhone]>,
    ) -> Self {
        Self {
            index,
            briefing,
            portal,
            device,
            phones,
            meter: RefCell::default(),
            flows: RefCell::default(),
            bindings: RefCell::default(),
            awaiting_code: RefCell::default(),
            early_callbacks: RefCell::default(),
            proofs: Cell::default(),
            busy_phones: Cell::default(),
            late_max: Cell::default(),
        }
    }

    /// Works until arrivals are over and every flow has ended or had its time. Must run in a `LocalSet`.
    pub(super) async fn run(
        self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mail: &mut mpsc::Receiver<Mail>,
        slices: mpsc::UnboundedSender<Slices>,
    ) -> WorkerEnd {
        let worker = Rc::new(self);
        let (mut arrived, mut came) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut arrivals_over_at = None;
        loop {
            tokio::select! {
                count = arrivals.recv_many(&mut arrived, BATCH), if arrivals_over_at.is_none() => {
                    if count == 0 {
                        arrivals_over_at = Some(worker.now());
                    }
                    arrived.drain(..).for_each(|arrival| worker.arrive(arrival));
                }
                count = mail.recv_many(&mut came, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    came.drain(..).for_each(|mail| worker.take(mail));
                }
                _ = tick.tick() => {
                    // Nobody listens any more only when the run has failed elsewhere.
                    let _ = slices.send(worker.meter.borrow_mut().take_slices(worker.now()));
                    if arrivals_over_at.is_some_and(|at| worker.is_over(at)) {
                        break;
                    }
                }
            }
        }
        WorkerEnd {
            meter: std::mem::take(&mut *worker.meter.borrow_mut()).finish(),
            portal: worker.portal.shortage(),
            device: worker.device.shortage(),
            late_max: worker.late_max.get(),
        }
    }

    /// Since the start of the run.
    pub(super) fn now(&self) -> Duration {
        self.briefing.clock.now()
    }

    /// Counts the end of a stage.
    pub(super) fn record(&self, stage: Stage, intended: Duration, sent: Duration, outcome: Outcome<'_>) {
        self.meter.borrow_mut().record(stage, intended, sent, self.now(), outcome);
    }

    /// Counts the end of a stage that nobody schedules, at this time.
    pub(super) fn record_at(&self, stage: Stage, sent: Duration, at: Duration, outcome: Outcome<'_>) {
        self.meter.borrow_mut().record(stage, sent, sent, at, outcome);
    }

    /// Counts a further try of a portal.
    pub(super) fn retried(&self) {
        self.meter.borrow_mut().retried(self.now());
    }

    /// Counts a final state.
    pub(super) fn reached(&self, state: State) {
        self.meter.borrow_mut().reached(&state_text(state));
    }

    /// Counts a transaction that its portal leaves open.
    pub(super) fn left_pending(&self) {
        self.meter.borrow_mut().reached(State::Pending.as_str());
    }

    /// The phone with this number.
    pub(super) fn phone(&self, number: u32) -> Option<&CrowdPhone> {
        self.phones.get(usize::try_from(number / self.briefing.workers).ok()?)
    }

    /// Never the same twice.
    pub(super) fn next_jti(&self) -> String {
        let number = self.proofs.replace(self.proofs.get() + 1);
        format!("{}.{}.{number}", self.briefing.run_id.simple(), self.index)
    }

    /// The flow learns which transaction is its own.
    pub(super) fn named(self: &Rc<Self>, flow: &Rc<Flow>, id: Uuid) {
        flow.id.set(Some(id));
        let found = self.bindings.borrow_mut().named(flow.plan.phone, flow.number, id);
        self.hand_out(found);
        if let Some(state) = self.early_callbacks.borrow_mut().remove(&id) {
            flow.be_called_back(state);
        }
        if let Some(code) = flow.early_code.borrow_mut().take() {
            tokio::task::spawn_local(Rc::clone(self).enter_code(Rc::clone(flow), code));
        }
        if self.briefing.is_told_by_portal && !flow.plan.by_sms {
            tokio::task::spawn_local(Rc::clone(self).be_asked(Rc::clone(flow), None));
        }
    }

    fn arrive(self: &Rc<Self>, arrival: Arrival) {
        if self.flows.borrow().len() >= self.briefing.in_flight_max {
            return self.meter.borrow_mut().dropped(arrival.at);
        }
        self.late_max.set(self.late_max.get().max(self.now().saturating_sub(arrival.at)));
        self.meter.borrow_mut().arrived(arrival.at);
        let plan = self.briefing.scenario.plan(arrival.number);
        let flow = Rc::new(Flow::new(arrival, plan));
        self.flows.borrow_mut().insert(arrival.number, Rc::clone(&flow));
        self.bindings.borrow_mut().begin(plan.phone, arrival.number, flow.is_held());
        if plan.by_sms || self.briefing.scenario.flows.sms_fallback_after.is_some() {
            self.awaiting_code.borrow_mut().entry(plan.phone).or_default().push_back(arrival.number);
        }
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            worker.be_a_portal(&flow).await;
            worker.forget(&flow);
        });
    }

    fn forget(self: &Rc<Self>, flow: &Flow) {
        self.flows.borrow_mut().remove(&flow.number);
        let found = self.bindings.borrow_mut().end(flow.plan.phone, flow.number, flow.id.get());
        self.hand_out(found);
        let mut awaiting = self.awaiting_code.borrow_mut();
        if let Some(flows) = awaiting.get_mut(&flow.plan.phone) {
            flows.retain(|number| *number != flow.number);
            if flows.is_empty() {
                awaiting.remove(&flow.plan.phone);
            }
        }
    }

    fn take(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Push(push) => {
                let found = self.bindings.borrow_mut().pushed(push.phone, push.id, push);
                self.hand_out(found);
            }
            Mail::Code { phone, code } => {
                let number = self.awaiting_code.borrow_mut().get_mut(&phone).and_then(VecDeque::pop_front);
                let Some(flow) = number.and_then(|number| self.flow(number)) else { return };
                if flow.id.get().is_some() {
                    tokio::task::spawn_local(Rc::clone(self).enter_code(flow, code));
                } else {
                    *flow.early_code.borrow_mut() = Some(code);
                }
            }
            Mail::Callback { id, state } => {
                let flow = self.bindings.borrow().flow_of(id).and_then(|number| self.flow(number));
                let mut early = self.early_callbacks.borrow_mut();
                match flow {
                    Some(flow) => flow.be_called_back(state),
                    None if early.len() < EARLY_CALLBACKS_MAX => drop(early.insert(id, state)),
                    None => {}
                }
            }
        }
    }

    fn hand_out(self: &Rc<Self>, found: Vec<(u64, PushMail)>) {
        for (number, push) in found {
            let Some(flow) = self.flow(number) else { continue };
            if flow.is_pushed.replace(true) {
                continue;
            }
            if flow.plan.waiting == Waiting::Absent {
                flow.bell.notify_one();
            }
            if flow.id.get().is_none() {
                flow.id.set(Some(push.id));
            }
            let arrived = self.briefing.clock.at(push.arrived_at);
            let sent = flow.sent.get();
            self.meter.borrow_mut().record(Stage::PushRelayed, flow.intended, sent, arrived, Outcome::Done);
            self.busy_phones.set(self.busy_phones.get() + 1);
            let worker = Rc::clone(self);
            tokio::task::spawn_local(async move {
                Rc::clone(&worker).be_asked(flow, Some(push)).await;
                worker.busy_phones.set(worker.busy_phones.get() - 1);
            });
        }
    }

    fn flow(&self, number: u64) -> Option<Rc<Flow>> {
        self.flows.borrow().get(&number).cloned()
    }

    fn is_over(&self, arrivals_over_at: Duration) -> bool {
        let is_interrupted = self.briefing.is_interrupted.load(Ordering::Relaxed);
        let drain = self.briefing.scenario.flows.drain;
        let drain = if is_interrupted { drain.min(INTERRUPTED_DRAIN) } else { drain };
        let is_done = self.flows.borrow().is_empty() && self.busy_phones.get() == 0;
        is_done || self.now() >= arrivals_over_at + drain
    }
}

impl Flow {
    fn new(arrival: Arrival, plan: FlowPlan) -> Self {
        Self {
            number: arrival.number,
            plan,
            intended: arrival.at,
            sent: Cell::new(arrival.at),
            id: Cell::default(),
            answer_sent: Cell::default(),
            is_pushed: Cell::default(),
            early_code: RefCell::default(),
            called_back: RefCell::default(),
            bell: Notify::new(),
        }
    }

    fn be_called_back(&self, state: Box<str>) {
        *self.called_back.borrow_mut() = Some(state);
        self.bell.notify_one();
    }
}

/// A final state with its reason, as a report counts it.
pub(super) fn state_text(state: State) -> String {
    match state {
        State::Failed(reason) => format!("failed/{}", reason.as_str()),
        plain => plain.as_str().to_owned(),
    }
}
