//! What portals and phones do at the same time: starts, answers, answers that compete, cancels, time-outs, reads and
//! long polls, until the server is killed under them. Every reply goes into the [`Ledger`].

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tocsin_model::{Decision, TransactionId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::crowd::Member;
use super::ledger::{KeyedStart, Ledger};
use crate::phone::PhoneError;
use crate::random::Random;
use crate::{CallError, LoadtestError, Portal, StartFields, Started, TYPE_LOGIN};

/// Workers that send one call after the other: more than the calls that must be in flight, because a worker also
/// signs and verifies.
const WORKERS: usize = 112;

/// Long polls beside them, which are not counted as calls in flight.
const LONG_POLLS: usize = 16;

/// How long a long poll asks to be held.
const LONG_POLL_S: u64 = 2;

/// Transactions that the workers come back to.
const POOL_MAX: usize = 2_000;

/// Everybody who calls, and what they have been told.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) portal: Portal,
    pub(super) members: Vec<Member>,
    ledger: Mutex<Ledger>,
    pool: Mutex<Vec<TransactionId>>,
    round: AtomicU64,
    is_killed: AtomicBool,
    in_flight: AtomicUsize,
    unanswered: AtomicUsize,
    pub(super) counts: Counts,
}

/// What was sent, all together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: AtomicU64,
    pub(super) starts: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) cancels: AtomicU64,
    /// Calls that were refused because the server was busy.
    pub(super) busy: AtomicU64,
}

impl Traffic {
    pub(super) fn new(portal: Portal, members: Vec<Member>) -> Self {
        Self {
            portal,
            members,
            ledger: Mutex::default(),
            pool: Mutex::default(),
            round: AtomicU64::new(0),
            is_killed: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            counts: Counts::default(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A worker that panicked with the lock has left whole entries.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a round of traffic.
    pub(super) fn begin(self: &Arc<Self>, round: u32, random: &Random) -> JoinSet<()> {
        self.round.store(round.into(), Ordering::Relaxed);
        self.is_killed.store(false, Ordering::SeqCst);
        self.unanswered.store(0, Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        let mut branch = u64::from(round) << 16;
        for worker in 0..WORKERS + LONG_POLLS {
            branch += 1;
            let (traffic, random) = (Arc::clone(self), random.fork(branch));
            if worker < WORKERS {
                tasks.spawn(async move { traffic.work(random).await });
            } else {
                tasks.spawn(async move { traffic.poll(random).await });
            }
        }
        tasks
    }

    /// Calls that have been sent and not answered, long polls left out.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// To be called right before the kill: whoever has called, called a living server.
    pub(super) fn mark_killed(&self) {
        self.is_killed.store(true, Ordering::SeqCst);
    }

    /// Calls of this round that were sent to the living server and never answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    pub(super) fn round(&self) -> u32 {
        u32::try_from(self.round.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::SeqCst)
    }

    async fn work(&self, mut random: Random) {
        while !self.is_killed() {
            let done = if random.chance(75) {
                self.one_login(&mut random).await
            } else {
                self.look_back(&mut random).await
            };
            self.settle(done);
        }
    }

    async fn poll(&self, mut random: Random) {
        while !self.is_killed() {
            let Some(id) = self.pooled(&mut random) else {
                tokio::task::yield_now().await;
                continue;
            };
            let sent = self.ledger().moment();
            let waited = self.portal.wait(id, LONG_POLL_S, None).await;
            self.settle(waited.map(|view| self.saw_view(id, sent, &view)));
        }
    }

    /// A cut call is what a kill is for; everything else must go as told.
    fn settle(&self, done: Result<(), LoadtestError>) {
        match done {
            Ok(()) => {}
            Err(error) if is_cut(&error) && self.is_killed() => {}
            Err(error) if is_busy(&error) => {
                self.counts.busy.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.ledger().contradict(format!("an unexpected reply: {error}")),
        }
    }

    async fn one_login(&self, random: &mut Random) -> Result<(), LoadtestError> {
        let (member, id) = self.start(random).await?;
        match random.within(0..100) {
            0..40 => self.answer(member, id, &[decision(random)]).await,
            40..55 => self.answer(member, id, &[Decision::Accept, Decision::Decline]).await,
            55..65 => self.cancel(id).await,
            65..75 => {
                let decisions = [decision(random)];
                let both = tokio::join!(self.answer(member, id, &decisions), self.cancel(id));
                both.0.and(both.1)
            }
            // Left alone: to run out, or to be found by whoever looks back.
            _ => self.read(id).await,
        }
    }

    /// Starts a transaction for anybody.
    async fn start(&self, random: &mut Random) -> Result<(usize, TransactionId), LoadtestError> {
        let count = u64::try_from(self.members.len()).unwrap_or(1);
        let member = usize::try_from(random.within(0..count)).unwrap_or(0);
        let ttl_s = if random.chance(30) { random.within(1..4) } else { random.within(30..60) };
        let key = random.chance(50).then(|| Uuid::new_v4().to_string());
        let keyed = key.map(|key| KeyedStart { member, key, ttl_s });
        let key = keyed.as_ref().map(|keyed| keyed.key.as_str());
        self.counts.starts.fetch_add(1, Ordering::Relaxed);
        let started = self.counted(self.portal.start(&self.fields(member, ttl_s), key)).await;
        match started {
            Ok(Started { view, .. }) => {
                self.ledger().started(view.id, self.round(), keyed);
                self.enter_pool(view.id, random);
                Ok((member, view.id))
            }
            Err(error) => {
                if let Some(keyed) = keyed {
                    self.ledger().start_cut(keyed);
                }
                Err(error)
            }
        }
    }

    pub(super) fn fields(&self, member: usize, ttl_s: u64) -> StartFields {
        let user = self.members.get(member).map(|member| member.user.as_str()).unwrap_or_default();
        StartFields { ttl_s: Some(ttl_s), ..StartFields::new(TYPE_LOGIN, user) }
    }

    /// Reads, cancels, or answers once more what somebody started earlier.
    async fn look_back(&self, random: &mut Random) -> Result<(), LoadtestError> {
        let Some(id) = self.pooled(random) else { return Ok(()) };
        let answers = self.ledger().entry(id).map(|entry| entry.answers.clone()).unwrap_or_default();
        match (random.within(0..100), random.pick(&answers)) {
            (0..40, Some(answer)) => self.send_answer(answer.member, id, &answer.jws).await,
            (40..50, _) => self.cancel(id).await,
            _ => self.read(id).await,
        }
    }

    fn enter_pool(&self, id: TransactionId, random: &mut Random) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL_MAX {
            return pool.push(id);
        }
        let index = usize::try_from(random.within(0..POOL_MAX as u64)).unwrap_or(0);
        if let Some(place) = pool.get_mut(index) {
            *place = id;
        }
    }

    fn pooled(&self, random: &mut Random) -> Option<TransactionId> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        random.pick(&pool).copied()
    }

    /// Counts a call while it is in flight, and when it was sent to the living server and never answered.
    pub(super) async fn counted<T>(
        &self,
        call: impl Future<Output = Result<T, LoadtestError>>,
    ) -> Result<T, LoadtestError> {
        let was_alive = !self.is_killed();
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let result = call.await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if was_alive && result.as_ref().err().is_some_and(is_cut) {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
        }
        result
    }
}

fn decision(random: &mut Random) -> Decision {
    match random.within(0..10) {
        0..6 => Decision::Accept,
        6..9 => Decision::Decline,
        _ => Decision::Report,
    }
}

/// Whether the connection ended, or there was none.
pub(super) fn is_cut(error: &LoadtestError) -> bool {
    matches!(
        error,
        LoadtestError::Call(CallError::Cut { .. } | CallError::NotConnected { .. })
            | LoadtestError::Phone(PhoneError::Network(_))
    )
}

/// Whether the server said that it has too much to do.
fn is_busy(error: &LoadtestError) -> bool {
    match error {
        LoadtestError::Problem(problem) => matches!(problem.status, 429 | 503),
        LoadtestError::Phone(PhoneError::Problem { status, .. }) => matches!(status, 429 | 503),
        _ => false,
    }
}
