//! The actor of one transaction: performs what the machine wants, and nothing else.

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwapOption;
use tocsin_config::{Config, CountryPrefix};
use tocsin_model::{
    Answer, CodeAddress, DeliveryReason, DeviceId, DurationMs, FailureReason, Idempotency, KeptChallenge,
    OperatorName, OtpHash, Problem, ProviderName, Sending, Transaction, UnixMs,
};
use tocsin_storage::{
    Amended, Attempted, Claimed, Created, Ended, NewTransaction, Pending, Resend, Resent, StoreError,
};
use tokio::sync::oneshot;

use super::callers::Callers;
use super::push::Target;
use super::{CallerId, Claim, Effect, Event, Machine, Reply, WriteOutcome, closing, message, push};
use crate::error::store_failure;
use crate::limits::READ_BACK_DELAY;
use crate::protocol::{Addressee, Deliver, DeliveryOutcome, Faulted, Parcel, ProviderEvent, Release};
use crate::registry::Permit;
use crate::sms_gate::CodeBarred;
use crate::surroundings::{LingerPlace, Surroundings};

/// The actor of one transaction.
pub(crate) struct TransactionActor {
    machine: Machine,
    surroundings: Arc<Surroundings>,
    /// Where others read how it stands, without a word to this actor.
    standing: Arc<Standing>,
    /// As it was when this actor began; a reload does not change what runs.
    config: Arc<Config>,
    /// Its place among the open transactions; given back when it is final.
    permit: Option<Permit>,
    /// What the start brought; let go of after the first pushes. `None` for one that was read from its record.
    opening: Option<Box<Opening>>,
    callers: Callers,
    /// When its alarm rings; the beginning of time where none is set.
    alarm: UnixMs,
    lingering: Option<LingerPlace>,
}

/// How an open transaction stands, for those who only want to read it; nothing before it is stored.
pub(crate) struct Standing {
    shown: ArcSwapOption<Transaction>,
    /// What is said of it should its actor fall, and to whom.
    pub(crate) should_it_fall: (Faulted, Option<ProviderName>),
}

impl Standing {
    /// Of a transaction that nobody may see yet. The provider of its first delivery supervises it.
    pub(crate) fn unseen(transaction: &Transaction) -> Self {
        let fallen = Faulted { transaction_id: transaction.id, expires_at: transaction.expires_at };
        let supervisor = transaction.deliveries().next().map(|delivery| delivery.provider.clone());
        Self { shown: ArcSwapOption::empty(), should_it_fall: (fallen, supervisor) }
    }

    /// The record, as durable as a view of it.
    pub(crate) fn read(&self) -> Option<Arc<Transaction>> {
        self.shown.load_full()
    }

    fn show(&self, standing: Option<&Arc<Transaction>>) {
        let is_shown = standing.map(Arc::as_ptr) == self.shown.load().as_ref().map(Arc::as_ptr);
        if !is_shown {
            self.shown.store(standing.cloned());
        }
    }
}

/// How an actor begins.
pub(crate) enum Beginning {
    /// Its transaction is to be stored.
    Start(Opening),
    /// Its transaction was read from its record.
    Revival,
}

/// What a start has gathered beside the record. All of it is let go of once it is stored and pushed.
#[derive(Default)]
pub(crate) struct Opening {
    /// Who waits for it to be stored.
    pub(crate) starter: Option<oneshot::Sender<Reply>>,
    /// The caller's promise.
    pub(crate) idempotency: Option<Idempotency>,
    /// Challenges to be kept in the form in which they leave.
    pub(crate) challenges: Vec<(DeviceId, KeptChallenge)>,
    /// The push addresses that the start has read already.
    pub(crate) targets: Vec<(DeviceId, Target)>,
    /// The hash of its one-time password, if it is anonymous.
    pub(crate) otp: Option<OtpHash>,
}

impl TransactionActor {
    pub(crate) fn new(
        transaction: Transaction,
        permit: Permit,
        beginning: Beginning,
        standing: Arc<Standing>,
        surroundings: Arc<Surroundings>,
    ) -> Self {
        let opening = match beginning {
            Beginning::Start(opening) => Some(Box::new(opening)),
            Beginning::Revival => None,
        };
        Self {
            machine: Machine::new(transaction),
            config: surroundings.config(),
            surroundings,
            standing,
            permit: Some(permit),
            opening,
            callers: Callers::default(),
            alarm: UnixMs::default(),
            lingering: None,
        }
    }

    fn step(&mut self, event: Event, context: &mut Context<Self>) {
        let now = self.surroundings.clock.now();
        let effects = self.machine.step(event, now);
        // Before anybody is told, so that whoever heard of a change also reads it.
        self.standing.show(self.machine.standing());
        for effect in effects {
            self.perform(effect, context);
        }
    }

    fn perform(&mut self, effect: Effect, context: &mut Context<Self>) {
        match effect {
            Effect::Create(transaction) => self.create(&transaction, context),
            Effect::End(ended) => {
                let pending = self.surroundings.store.end(Transaction::clone(&ended));
                Self::await_write(pending, ended_outcome, context);
            }
            Effect::Attempt { tried, used_before } => {
                let pending = self.surroundings.store.attempt(Transaction::clone(&tried), used_before);
                Self::await_write(pending, attempted_outcome, context);
            }
            Effect::Amend(amended) => {
                let pending = self.surroundings.store.amend(Transaction::clone(&amended));
                Self::await_write(pending, amended_outcome, context);
            }
            Effect::Claim(claimed) => {
                let pending = self.surroundings.store.claim(Transaction::clone(&claimed));
                Self::await_write(pending, claimed_outcome, context);
            }
            Effect::EnterUser(user) => {
                if let Some(permit) = &mut self.permit {
                    permit.belong_to(&user);
                }
            }
            Effect::Resend { resent, used_before, idempotency } => {
                // Counted here, where nothing but the storage can refuse it any more.
                if let Err(barred) = self.admit_code(&resent) {
                    let held_back = WriteOutcome::HeldBack(Box::new(barred.problem()));
                    return self.step(Event::Written(held_back), context);
                }
                let resent = Transaction::clone(&resent);
                let idempotency = idempotency.map(|promise| *promise);
                let pending = self.surroundings.store.resend(Resend { resent, used_before, idempotency });
                Self::await_write(pending, resent_outcome, context);
            }
            Effect::Mark(transaction) => {
                // A mark that is lost costs one repeated push under the same ids, so nobody waits for it.
                drop(self.surroundings.store.mark(Transaction::clone(&transaction)));
            }
            Effect::ReadBack => self.read_back(context),
            Effect::Push(Addressee::Phone(device_id)) => self.push(device_id, context),
            Effect::Push(Addressee::Code(sending)) => self.send_code(sending, true, context),
            Effect::SendIfAdmitted(sending) => self.send_code(sending, false, context),
            Effect::ArmTimer(at) => self.set_alarm(at),
            Effect::Reply(caller, reply) => self.callers.reply(caller, reply),
            Effect::CountFallback => {
                self.surroundings.metrics.fell_back(self.machine.transaction());
            }
            Effect::OweCallback => self.surroundings.callback_owed(self.machine.transaction()),
            Effect::Publish(transaction) => self.surroundings.published(&transaction),
            Effect::Retire => self.retire(context),
            Effect::Stop => context.stop(),
        }
    }

    fn create(&mut self, transaction: &Arc<Transaction>, context: &mut Context<Self>) {
        let opening = self.opening.as_deref_mut();
        let (idempotency, challenges, otp) = opening.map_or_else(Default::default, |opening| {
            (opening.idempotency.take(), std::mem::take(&mut opening.challenges), opening.otp.take())
        });
        if self.opening.as_ref().is_some_and(|opening| opening.targets.is_empty()) {
            // Nothing is pushed, so nobody takes the last of it and with that its memory.
            self.opening = None;
        }
        let transaction = Transaction::clone(transaction);
        let new = NewTransaction { transaction, idempotency, challenges, otp };
        let pending = self.surroundings.store.create(new);
        context.spawn(pending.into_actor(self).map(|created, actor, context| {
            let event = match created {
                Ok(Created::New) => {
                    actor.surroundings.metrics.started(actor.machine.transaction());
                    Event::Written(WriteOutcome::Stored)
                }
                Ok(Created::Existing(id)) => Event::SeenBefore { existing: Some(id) },
                Ok(Created::Mismatch) => Event::SeenBefore { existing: None },
                Ok(Created::UserLocked(lock)) => Event::Locked(lock),
                Err(error) => Event::Written(WriteOutcome::Failed(store_failure(&error))),
            };
            actor.step(event, context);
        }));
    }

    fn await_write<T: 'static>(
        pending: Pending<T>,
        outcome: fn(Result<T, StoreError>) -> WriteOutcome,
        context: &mut Context<Self>,
    ) {
        let written = actix::fut::wrap_future::<_, Self>(pending);
        context.spawn(written.map(move |stored, actor, context| {
            actor.step(Event::Written(outcome(stored)), context);
        }));
    }

    /// Reads until the store answers; a store that has stopped ends the process, so this ends too.
    fn read_back(&mut self, context: &mut Context<Self>) {
        let store = Arc::clone(&self.surroundings.store);
        let id = self.machine.transaction().id;
        let reading = async move {
            tokio::time::sleep(READ_BACK_DELAY).await;
            store.transaction(id).await
        };
        context.spawn(actix::fut::wrap_future::<_, Self>(reading).map(|read, actor, context| match read {
            Ok(record) => actor.step(Event::ReadBack(record.map(Box::new)), context),
            Err(error) => {
                tracing::warn!(%error, "a write of unknown end cannot be read back yet");
                actor.read_back(context);
            }
        }));
    }

    /// Looks whether the storage has it as ended, before it handles anything else: whoever ended it may tell of that once
    /// this message is in the mailbox. Where it cannot be read, the next write tells.
    fn look_whether_ended(&mut self, context: &mut Context<Self>) {
        let store = Arc::clone(&self.surroundings.store);
        let id = self.machine.transaction().id;
        // Who would read past this actor asks it, and waits for what it finds.
        self.standing.show(None);
        let reading = async move { store.transaction(id).await };
        context.wait(actix::fut::wrap_future::<_, Self>(reading).map(|read, actor, context| match read {
            Ok(Some(record)) => actor.step(Event::EndedElsewhere(Box::new(record)), context),
            Ok(None) | Err(_) => actor.standing.show(actor.machine.standing()),
        }));
    }

    /// The push address that the start has read already.
    fn take_target(&mut self, device_id: DeviceId) -> Option<Target> {
        let targets = &mut self.opening.as_deref_mut()?.targets;
        let index = targets.iter().position(|(known, _)| *known == device_id)?;
        let (_, target) = targets.swap_remove(index);
        if targets.is_empty() {
            // Gives the memory back: the transaction waits for its user from here on.
            self.opening = None;
        }
        Some(target)
    }

    fn push(&mut self, device_id: DeviceId, context: &mut Context<Self>) {
        if let Some(target) = self.take_target(device_id) {
            return self.push_to(device_id, Some(target), context);
        }
        let store = Arc::clone(&self.surroundings.store);
        let id = self.machine.transaction().id;
        let config = Arc::clone(&self.config);
        let reading = async move { Target::read(&*store, &config, id, device_id).await };
        context.spawn(actix::fut::wrap_future::<_, Self>(reading).map(move |target, actor, context| {
            actor.push_to(device_id, target, context);
        }));
    }

    fn push_to(&mut self, device_id: DeviceId, target: Option<Target>, context: &mut Context<Self>) {
        if self.machine.transaction().state.is_final() {
            return;
        }
        let outcome = match self.deliver(device_id, target, context) {
            Ok(()) => return,
            Err(reason) => DeliveryOutcome::Failed(reason),
        };
        self.step(Event::PushEnded { addressee: Addressee::Phone(device_id), outcome }, context);
    }

    /// The code is made here and goes nowhere but into the message.
    fn send_code(&mut self, sending: Sending, is_admitted: bool, context: &mut Context<Self>) {
        let transaction = self.machine.transaction();
        if transaction.state.is_final() || transaction.sending() != Some(sending) {
            return;
        }
        if !is_admitted && let Err(barred) = self.admit_code(transaction) {
            return self.step(Event::HeldBack { sending, reason: barred.reason() }, context);
        }
        let outcome = match self.deliver_code(context) {
            Ok(()) => return,
            Err(reason) => DeliveryOutcome::Failed(reason),
        };
        self.step(Event::PushEnded { addressee: Addressee::Code(sending), outcome }, context);
    }

    /// Counts the code of `sent` that is about to leave, by the rules as they are now, as the start does for the one that
    /// it sends.
    fn admit_code(&self, sent: &Transaction) -> Result<(), CodeBarred> {
        if !sent.method.sends_code() {
            return Ok(());
        }
        let address = sent.code().and_then(|code| code.address.as_ref());
        self.surroundings.admit_code(&self.surroundings.config(), address, &sent.client)
    }

    /// The beginning of the number that its code is sent to by SMS, by the rules as they are now, like what is sent.
    fn sms_prefix(&self) -> Option<CountryPrefix> {
        let code = self.machine.transaction().code().filter(|code| !code.is_custom())?;
        match &code.address {
            Some(CodeAddress::Phone(number)) => self.surroundings.config().sms.prefix_of(number).cloned(),
            Some(CodeAddress::Email(_)) | None => None,
        }
    }

    fn deliver_code(&self, context: &mut Context<Self>) -> Result<(), tocsin_model::DeliveryReason> {
        use tocsin_model::DeliveryReason::{Busy, RequestRefused, Unavailable};
        let transaction = self.machine.transaction();
        let provider = transaction.code().and_then(|code| code.delivery.as_ref()).ok_or(RequestRefused)?;
        let surroundings = &self.surroundings;
        let (keys, push_ids) = (&surroundings.code_keys, &surroundings.push_ids);
        let message = message::compose(transaction, keys, push_ids, &surroundings.config().sms);
        let message = message.ok_or(RequestRefused)?;
        let providers = surroundings.providers();
        // Nobody else may have it: a gateway that is configured no more is none.
        let address = providers.supervisor(Some(&provider.provider)).ok_or(Unavailable)?;
        let parcel = Parcel::Code(Box::new(message));
        let deliver = Deliver { parcel, reply_to: context.address().recipient() };
        address.deliver.try_send(deliver).map_err(|_| Busy)
    }

    fn deliver(
        &self,
        device_id: DeviceId,
        target: Option<Target>,
        context: &mut Context<Self>,
    ) -> Result<(), tocsin_model::DeliveryReason> {
        use tocsin_model::DeliveryReason::{Busy, RequestRefused, TokenDead, Unavailable};
        let transaction = self.machine.transaction();
        let recipient = transaction.recipient(&device_id).ok_or(TokenDead)?;
        let provider = recipient.delivery.as_ref().map(|delivery| &delivery.provider).ok_or(TokenDead)?;
        let target = target.ok_or(TokenDead)?;
        let surroundings = &self.surroundings;
        let open = self.permit.as_ref().map_or(1, Permit::open_of_its_user);
        let push = push::ask(transaction, recipient, target, &self.config, &surroundings.push_ids, open)
            .ok_or(RequestRefused)?;
        let providers = surroundings.providers();
        let address = providers.supervisor(Some(provider)).ok_or(Unavailable)?;
        let deliver =
            Deliver { parcel: Parcel::Push(Box::new(push)), reply_to: context.address().recipient() };
        address.deliver.try_send(deliver).map_err(|_| Busy)
    }

    /// Sets its one alarm to another time; the beginning of time is none.
    fn set_alarm(&mut self, at: UnixMs) {
        let id = self.machine.transaction().id;
        let alarms = self.surroundings.alarms_of(id);
        let before = std::mem::replace(&mut self.alarm, at);
        if before != UnixMs::default() {
            alarms.take_out(before, id);
        }
        if at != UnixMs::default() {
            alarms.set(at, id);
        }
    }

    fn resend_gap(&self) -> DurationMs {
        let transaction = self.machine.transaction();
        if let Some(code) = transaction.code().filter(|_| transaction.method.sends_code()) {
            return code.resend_gap;
        }
        let kind = self.config.types.get(&transaction.type_name);
        kind.map(|kind| kind.resend_gap).unwrap_or_default()
    }

    /// It is final: lets go of everything but its memory of the outcome, and stops a moment later.
    fn retire(&mut self, context: &mut Context<Self>) {
        self.permit = None;
        self.opening = None;
        self.surroundings.metrics.ended(self.machine.transaction());
        let is_verified = self.machine.transaction().code().is_some_and(|code| code.verified_at.is_some());
        if let Some(prefix) = self.sms_prefix().filter(|_| is_verified) {
            self.surroundings.metrics.sms_verified(&prefix);
        }
        self.set_alarm(UnixMs::default());
        let transaction = self.machine.transaction();
        let mut told: Vec<&ProviderName> = Vec::new();
        let pushed_by = transaction.deliveries().map(|delivery| &delivery.provider);
        let sent_by = transaction.code().into_iter().flat_map(|code| &code.gateways);
        for provider in pushed_by.chain(sent_by) {
            if !told.contains(&provider) {
                told.push(provider);
                self.release(Some(provider));
            }
        }
        if told.is_empty() {
            self.release(None);
        }
        closing::clear_prompts(&self.surroundings, &self.config, transaction);
        self.lingering = self.surroundings.linger_place();
        match self.lingering {
            Some(_) => {
                context.run_later(self.surroundings.linger, |_, context| context.stop());
            }
            None => context.stop(),
        }
    }

    /// A full mailbox may lose this word; the provider then finds out when it next speaks to the transaction.
    fn release(&self, provider: Option<&ProviderName>) {
        if let Some(address) = self.surroundings.providers().supervisor(provider) {
            let _ = address.release.try_send(Release { transaction_id: self.machine.transaction().id });
        }
    }
}

impl Actor for TransactionActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        match self.opening.as_deref_mut().and_then(|opening| opening.starter.take()) {
            Some(reply) => {
                let caller = self.callers.enter(reply);
                self.step(Event::Started { caller }, context);
            }
            None => self.step(Event::Revived, context),
        }
    }
}

/// A call that waits for its reply.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// What can be asked of a transaction.
#[derive(Clone)]
pub(crate) enum Request {
    /// The state now.
    View,
    /// An answer whose checks and signatures have all passed.
    Answer {
        /// The answer.
        answer: Box<Answer>,
        /// Whether it approves with another number than the portal shows.
        wrong_number: bool,
    },
    /// A wrong try that counts.
    TryWrong,
    /// The right code.
    Verify,
    /// A wrong PIN that is counted on its phone.
    TryPin {
        /// The phone.
        device_id: DeviceId,
        /// Whether it was the last try.
        exhausted: bool,
    },
    /// A phone's claim, every check of which has passed.
    Claim(Box<Claim>),
    /// Push again, or send the code again.
    Resend {
        /// The caller's promise.
        idempotency: Option<Box<Idempotency>>,
    },
    /// A gateway reports that the message with the code did not arrive.
    Undelivered {
        /// Which sending of it.
        sending: Sending,
        /// Why.
        reason: DeliveryReason,
    },
    /// Withdraw it, for its client or for this operator.
    Cancel(Option<OperatorName>),
    /// Say how it ended, since it was seen past its deadline.
    Settle,
}

impl Request {
    /// The event of this call; only a resend asks for the shortest time between two pushes.
    fn into_event(self, caller: CallerId, resend_gap: impl FnOnce() -> DurationMs) -> Event {
        match self {
            Self::View => Event::Viewed { caller },
            Self::Answer { answer, wrong_number } => Event::Answered { caller, answer, wrong_number },
            Self::TryWrong => Event::TriedWrong { caller },
            Self::Verify => Event::CodeVerified { caller },
            Self::TryPin { device_id, exhausted } => Event::PinTried { caller, device_id, exhausted },
            Self::Claim(claim) => Event::Claimed { caller, claim },
            Self::Resend { idempotency } => Event::Resent { caller, gap: resend_gap(), idempotency },
            Self::Undelivered { sending, reason } => Event::Undelivered { caller, sending, reason },
            Self::Cancel(by) => Event::Cancelled { caller, by },
            Self::Settle => Event::SeenOverdue { caller },
        }
    }
}

/// What a transaction that has ended, and has no actor any more, replies.
pub(crate) fn judge_ended(transaction: Transaction, request: Request, now: UnixMs) -> Reply {
    let mut machine = Machine::new(transaction);
    machine.step(Event::Revived, now);
    let effects = machine.step(request.into_event(CallerId(0), DurationMs::default), now);
    let reply = effects.into_iter().find_map(|effect| match effect {
        Effect::Reply(_, reply) => Some(reply),
        _ => None,
    });
    reply.unwrap_or_else(|| Reply::Refused(unanswered()))
}

impl Handler<Ask> for TransactionActor {
    type Result = ();

    fn handle(&mut self, ask: Ask, context: &mut Context<Self>) {
        let caller = self.callers.enter(ask.reply);
        let event = ask.request.into_event(caller, || self.resend_gap());
        self.step(event, context);
    }
}

/// Its alarm rings.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Ring;

impl Handler<Ring> for TransactionActor {
    type Result = ();

    fn handle(&mut self, _: Ring, context: &mut Context<Self>) {
        // One that was set by an actor before this one, or was put off in this moment, rings too early.
        let is_time = (UnixMs::new(1)..=self.surroundings.clock.now()).contains(&self.alarm);
        if is_time {
            self.alarm = UnixMs::default();
            self.step(Event::TimerFired, context);
        }
    }
}

/// News that needs no reply.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum News {
    /// A phone listed or fetched it.
    Fetched(DeviceId),
    /// A phone was removed or suspended; the reason is the transaction's when nobody else can answer it.
    DeviceGone(DeviceId, FailureReason),
    /// It was ended in the storage by another call than its own, or has lost there what told of an erased user.
    EndedElsewhere,
}

impl Handler<News> for TransactionActor {
    type Result = ();

    fn handle(&mut self, news: News, context: &mut Context<Self>) {
        let event = match news {
            News::Fetched(device_id) => Event::Fetched { device_id },
            News::DeviceGone(device_id, reason) => Event::DeviceGone { device_id, reason },
            News::EndedElsewhere => return self.look_whether_ended(context),
        };
        self.step(event, context);
    }
}

impl Handler<ProviderEvent> for TransactionActor {
    type Result = ();

    fn handle(&mut self, event: ProviderEvent, context: &mut Context<Self>) {
        let event = match event {
            ProviderEvent::Written { addressee } => Event::PushWritten { addressee },
            ProviderEvent::Ended { addressee, outcome } => Event::PushEnded { addressee, outcome },
            ProviderEvent::Down { provider } => Event::ProviderDown(provider),
            ProviderEvent::Up { provider } => Event::ProviderUp(provider),
        };
        self.step(event, context);
    }
}

#[cfg(feature = "fault-hook")]
impl Handler<crate::protocol::InjectFault> for TransactionActor {
    type Result = ();

    fn handle(&mut self, _: crate::protocol::InjectFault, _: &mut Context<Self>) {
        std::panic::panic_any("a fault injected by a test");
    }
}

fn ended_outcome(stored: Result<Ended, StoreError>) -> WriteOutcome {
    match stored {
        Ok(Ended::Stored) => WriteOutcome::Stored,
        Ok(Ended::Lost(stands)) => WriteOutcome::Lost(stands),
        Ok(Ended::DeviceRevoked) => WriteOutcome::DeviceRevoked,
        Ok(Ended::Absent) => WriteOutcome::Absent,
        Err(error) => WriteOutcome::Failed(store_failure(&error)),
    }
}

fn amended_outcome(stored: Result<Amended, StoreError>) -> WriteOutcome {
    match stored {
        Ok(Amended::Stored) => WriteOutcome::Stored,
        Ok(Amended::Lost(stands)) => WriteOutcome::Lost(stands),
        Ok(Amended::Absent) => WriteOutcome::Absent,
        Err(error) => WriteOutcome::Failed(store_failure(&error)),
    }
}

fn claimed_outcome(stored: Result<Claimed, StoreError>) -> WriteOutcome {
    match stored {
        Ok(Claimed::Stored) => WriteOutcome::Stored,
        Ok(Claimed::Lost(stands)) => WriteOutcome::Lost(stands),
        Ok(Claimed::Barred) => WriteOutcome::DeviceRevoked,
        Ok(Claimed::Absent) => WriteOutcome::Absent,
        Err(error) => WriteOutcome::Failed(store_failure(&error)),
    }
}

fn attempted_outcome(stored: Result<Attempted, StoreError>) -> WriteOutcome {
    match stored {
        Ok(Attempted::Stored) => WriteOutcome::Stored,
        Ok(Attempted::Lost(stands)) => WriteOutcome::Lost(stands),
        Ok(Attempted::Absent) => WriteOutcome::Absent,
        Err(error) => WriteOutcome::Failed(store_failure(&error)),
    }
}

fn resent_outcome(stored: Result<Resent, StoreError>) -> WriteOutcome {
    match stored {
        Ok(Resent::Stored) => WriteOutcome::Stored,
        Ok(Resent::Lost(stands)) => WriteOutcome::Lost(stands),
        Ok(Resent::Existing) => WriteOutcome::SeenBefore,
        Ok(Resent::Mismatch) => WriteOutcome::Mismatch,
        Ok(Resent::Absent) => WriteOutcome::Absent,
        Err(error) => WriteOutcome::Failed(store_failure(&error)),
    }
}

/// What a caller is told when no actor could answer it.
pub(crate) fn unanswered() -> Problem {
    Problem::new(
        tocsin_model::ErrorCode::Busy,
        "the transaction did not answer; what was asked may have happened, so read its state first",
    )
}
