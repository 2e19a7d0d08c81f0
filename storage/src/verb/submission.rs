//! The closed list of verbs that can be submitted, each with the way to its answer.

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, Device, DeviceId, EnrollmentId, EnrolmentRules,
    KeptChallenge, KeyUse, ProviderName, PushKind, PushToken, Transaction, TransactionId, UnixMs, User,
    UserLock, UserProfile,
};
use tokio::sync::oneshot;

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use super::{
    audit, callback, device, device_key, enrol, enrollment, meta, otp, push_target, standing, transaction,
    user,
};
use crate::StoreError;
use crate::store::{
    Amended, Attempted, AuditCut, CallbackSettled, CallbackVerdict, ChangeNoted, Claimed, Created,
    DeviceChange, DeviceChanged, Ended, Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened,
    Erased, Erasure, KeptProviderToken, KeyChange, KeyDeleted, KeyPut, MetaKey, NewEnrollment,
    NewTransaction, PinTried, PushTargetVerdict, Redelivered, Resend, Resent, Revoked,
};

/// The way to the one who waits.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A decided verb that waits for its commit: called with the outcome of the commit, it gives the answer.
pub(crate) type Settled = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A submitted verb. Large inputs are boxed, since the queue holds its capacity in place.
pub(crate) enum Verb {
    Create(Box<NewTransaction>, Answer<Created>),
    End(Box<Transaction>, Answer<Ended>),
    Mark(Box<Transaction>, Answer<()>),
    Attempt {
        tried: Box<Transaction>,
        used_before: u32,
        answer: Answer<Attempted>,
    },
    KeepChallenge {
        id: TransactionId,
        device_id: DeviceId,
        challenge: Box<KeptChallenge>,
        answer: Answer<KeptChallenge>,
    },
    OpenEnrollment(Box<NewEnrollment>, Answer<EnrollmentOpened>),
    Amend(Box<Transaction>, Answer<Amended>),
    Claim(Box<Transaction>, Answer<Claimed>),
    Enrol(Box<Enrolment>, Answer<Enrolled>),
    ConfirmEnrollment {
        id: EnrollmentId,
        is_right: bool,
        rules: EnrolmentRules,
        now: UnixMs,
        answer: Answer<EnrollmentConfirmed>,
    },
    ChangeDevice(Box<(DeviceId, DeviceChange, AuditActor)>, UnixMs, Answer<DeviceChanged>),
    CancelEnrollment(EnrollmentId, Answer<EnrollmentCancelled>),
    RevokeDevice(DeviceId, AuditActor, UnixMs, Answer<Revoked>),
    CountPinTry {
        id: DeviceId,
        tries_max: u32,
        now: UnixMs,
        answer: Answer<PinTried>,
    },
    NoteChange(DeviceId, UnixMs, Answer<ChangeNoted>),
    PutKey(Box<KeyChange>, Answer<KeyPut>),
    DeleteKey(DeviceId, KeyUse, Answer<KeyDeleted>),
    Resend(Box<Resend>, Answer<Resent>),
    JudgePushTarget(Box<(PushKind, PushToken, PushTargetVerdict)>, Answer<Vec<DeviceId>>),
    UnlockUser(Box<(User, AuditActor)>, Answer<Vec<UserLock>>),
    PutProfile(Box<(User, UserProfile, AuditActor)>, Answer<()>),
    EraseUser(Box<Erasure>, Answer<Erased>),
    RedactEnded(Box<User>, Option<TransactionId>, Answer<Option<TransactionId>>),
    KeepMeta(MetaKey, Vec<u8>, Answer<Vec<u8>>),
    KeepProviderToken(Box<(ProviderName, KeptProviderToken)>, Answer<()>),
    Note(Box<AuditEvent>, Answer<()>),
    CutAudit(UnixMs, Answer<AuditCut>),
    SettleCallback {
        id: TransactionId,
        tries_before: u32,
        verdict: CallbackVerdict,
        answer: Answer<CallbackSettled>,
    },
    RedeliverCallback(TransactionId, AuditActor, UnixMs, Answer<Redelivered>),
}

/// What a phone enrols with.
pub(crate) struct Enrolment {
    pub(crate) code_hash: ActivationCodeHash,
    pub(crate) device: Device,
    pub(crate) rules: EnrolmentRules,
    pub(crate) now: UnixMs,
}

impl Verb {
    /// Whether it makes something new for a portal, which is refused when the disk is nearly full.
    pub(crate) const fn is_create(&self) -> bool {
        match self {
            Self::Create(..) | Self::OpenEnrollment(..) => true,
            Self::End(..)
            | Self::Mark(..)
            | Self::Attempt { .. }
            | Self::KeepChallenge { .. }
            | Self::Amend(..)
            | Self::Claim(..)
            | Self::Enrol(..)
            | Self::ConfirmEnrollment { .. }
            | Self::ChangeDevice(..)
            | Self::CancelEnrollment(..)
            | Self::RevokeDevice(..)
            | Self::CountPinTry { .. }
            | Self::NoteChange(..)
            | Self::PutKey(..)
            | Self::DeleteKey(..)
            | Self::Resend(..)
            | Self::JudgePushTarget(..)
            | Self::UnlockUser(..)
            | Self::PutProfile(..)
            | Self::EraseUser(..)
            | Self::RedactEnded(..)
            | Self::KeepMeta(..)
            | Self::KeepProviderToken(..)
            | Self::Note(..)
            | Self::CutAudit(..)
            | Self::SettleCallback { .. }
            | Self::RedeliverCallback(..) => false,
        }
    }

    /// Whether its rows must be on the disk before it is answered.
    pub(crate) const fn needs_sync(&self) -> bool {
        match self {
            Self::Mark(..) => false,
            Self::SettleCallback { verdict, .. } => matches!(verdict, CallbackVerdict::Dead { .. }),
            Self::Create(..)
            | Self::End(..)
            | Self::Attempt { .. }
            | Self::OpenEnrollment(..)
            | Self::Enrol { .. }
            | Self::CancelEnrollment(..)
            | Self::RevokeDevice(..)
            | Self::CountPinTry { .. }
            | Self::NoteChange(..)
            | Self::PutKey(..)
            | Self::DeleteKey(..)
            | Self::Resend(..)
            | Self::JudgePushTarget(..)
            | Self::UnlockUser(..)
            | Self::PutProfile(..)
            | Self::EraseUser(..)
            | Self::RedactEnded(..)
            | Self::KeepMeta(..)
            | Self::KeepProviderToken(..)
            | Self::Note(..)
            | Self::CutAudit(..)
            | Self::KeepChallenge { .. }
            | Self::Amend(..)
            | Self::Claim(..)
            | Self::ConfirmEnrollment { .. }
            | Self::ChangeDevice(..)
            | Self::RedeliverCallback(..) => true,
        }
    }

    /// Whether it is a mark that nobody waits for.
    #[cfg(feature = "rocks")]
    pub(crate) fn is_unawaited_mark(&self) -> bool {
        matches!(self, Self::Mark(_, answer) if answer.is_closed())
    }

    /// A mark that nobody waits for.
    #[cfg(feature = "rocks")]
    pub(crate) fn unawaited_mark(marked: Box<Transaction>) -> Self {
        Self::Mark(marked, oneshot::channel().0)
    }

    /// Answers with an error, without looking at a row.
    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Self::Create(_, answer) => drop(answer.send(Err(error))),
            Self::End(_, answer) => drop(answer.send(Err(error))),
            Self::Mark(_, answer) => drop(answer.send(Err(error))),
            Self::Attempt { answer, .. } => drop(answer.send(Err(error))),
            Self::KeepChallenge { answer, .. } => drop(answer.send(Err(error))),
            Self::OpenEnrollment(_, answer) => drop(answer.send(Err(error))),
            Self::Amend(_, answer) => drop(answer.send(Err(error))),
            Self::Claim(_, answer) => drop(answer.send(Err(error))),
            Self::Enrol(_, answer) => drop(answer.send(Err(error))),
            Self::ConfirmEnrollment { answer, .. } => drop(answer.send(Err(error))),
            Self::ChangeDevice(_, _, answer) => drop(answer.send(Err(error))),
            Self::CancelEnrollment(_, answer) => drop(answer.send(Err(error))),
            Self::RevokeDevice(_, _, _, answer) => drop(answer.send(Err(error))),
            Self::CountPinTry { answer, .. } => drop(answer.send(Err(error))),
            Self::NoteChange(_, _, answer) => drop(answer.send(Err(error))),
            Self::PutKey(_, answer) => drop(answer.send(Err(error))),
            Self::DeleteKey(_, _, answer) => drop(answer.send(Err(error))),
            Self::Resend(_, answer) => drop(answer.send(Err(error))),
            Self::JudgePushTarget(_, answer) => drop(answer.send(Err(error))),
            Self::UnlockUser(_, answer) => drop(answer.send(Err(error))),
            Self::PutProfile(_, answer) => drop(answer.send(Err(error))),
            Self::EraseUser(_, answer) => drop(answer.send(Err(error))),
            Self::RedactEnded(_, _, answer) => drop(answer.send(Err(error))),
            Self::KeepMeta(_, _, answer) => drop(answer.send(Err(error))),
            Self::KeepProviderToken(_, answer) => drop(answer.send(Err(error))),
            Self::Note(_, answer) => drop(answer.send(Err(error))),
            Self::CutAudit(_, answer) => drop(answer.send(Err(error))),
            Self::SettleCallback { answer, .. } => drop(answer.send(Err(error))),
            Self::RedeliverCallback(_, _, _, answer) => drop(answer.send(Err(error))),
        }
    }

    /// Decides over `table`: the rows to change and the answer to give once they are stored.
    pub(crate) fn decide(self, table: &Table<'_>) -> (Batch, Settled) {
        let mut batch = Batch::default();
        let settled = self.decide_into(table, &mut batch);
        (batch, settled)
    }

    fn decide_into(self, table: &Table<'_>, batch: &mut Batch) -> Settled {
        match self {
            Self::Create(new, answer) => settle(transaction::create(table, &new, batch), batch, answer),
            Self::End(ended, answer) => settle(transaction::end(table, &ended, batch), batch, answer),
            Self::Mark(marked, answer) => settle(transaction::mark(table, &marked, batch), batch, answer),
            Self::Attempt { tried, used_before, answer } => {
                settle(transaction::attempt(table, &tried, used_before, batch), batch, answer)
            }
            Self::KeepChallenge { id, device_id, challenge, answer } => {
                settle(transaction::keep_challenge(table, &id, &device_id, *challenge, batch), batch, answer)
            }
            Self::OpenEnrollment(new, answer) => settle(enrollment::open(table, &new, batch), batch, answer),
            Self::Amend(amended, answer) => settle(transaction::amend(table, &amended, batch), batch, answer),
            Self::Claim(claimed, answer) => settle(otp::claim(table, &claimed, batch), batch, answer),
            Self::Enrol(asked, answer) => {
                let Enrolment { code_hash, device, rules, now } = &*asked;
                settle(enrol::enrol(table, code_hash, device, *rules, *now, batch), batch, answer)
            }
            Self::ConfirmEnrollment { id, is_right, rules, now, answer } => {
                settle(enrollment::confirm(table, &id, is_right, rules, now, batch), batch, answer)
            }
            Self::ChangeDevice(asked, now, answer) => {
                let (id, change, by) = *asked;
                settle(device::change(table, &id, &change, by, now, batch), batch, answer)
            }
            Self::CancelEnrollment(id, answer) => {
                settle(enrollment::cancel(table, &id, batch), batch, answer)
            }
            Self::RevokeDevice(id, by, now, answer) => {
                settle(device::revoke(table, &id, by, now, batch), batch, answer)
            }
            Self::CountPinTry { id, tries_max, now, answer } => {
                settle(device_key::count_pin_try(table, &id, tries_max, now, batch), batch, answer)
            }
            Self::NoteChange(id, issued_at, answer) => {
                settle(device_key::note_change(table, &id, issued_at, batch), batch, answer)
            }
            Self::PutKey(change, answer) => settle(device_key::put(table, &change, batch), batch, answer),
            Self::DeleteKey(id, key_use, answer) => {
                settle(device_key::delete(table, &id, &key_use, batch), batch, answer)
            }
            Self::Resend(resend, answer) => settle(transaction::resend(table, &resend, batch), batch, answer),
            Self::JudgePushTarget(judged, answer) => {
                let (kind, token, verdict) = &*judged;
                settle(push_target::judge_push_target(table, *kind, token, verdict, batch), batch, answer)
            }
            Self::UnlockUser(asked, answer) => {
                let (user, by) = *asked;
                settle(standing::unlock(table, &user, by, batch), batch, answer)
            }
            Self::PutProfile(asked, answer) => {
                let (user, profile, by) = *asked;
                user::put_profile(&user, &profile, by, batch);
                settle(Ok(()), batch, answer)
            }
            Self::EraseUser(erasure, answer) => settle(user::erase(table, &erasure, batch), batch, answer),
            Self::RedactEnded(user, behind, answer) => {
                settle(user::redact_ended(table, &user, behind, batch), batch, answer)
            }
            Self::KeepMeta(key, value, answer) => {
                settle(meta::keep(table, key, &value, batch), batch, answer)
            }
            Self::KeepProviderToken(asked, answer) => {
                let (provider, token) = &*asked;
                meta::keep_provider_token(provider, token, batch);
                settle(Ok(()), batch, answer)
            }
            Self::Note(event, answer) => {
                batch.audit(*event);
                settle(Ok(()), batch, answer)
            }
            Self::CutAudit(before, answer) => settle(audit::cut(table, before, batch), batch, answer),
            Self::SettleCallback { id, tries_before, verdict, answer } => {
                settle(callback::settle(table, &id, tries_before, verdict, batch), batch, answer)
            }
            Self::RedeliverCallback(id, by, now, answer) => {
                settle(callback::redeliver(table, &id, by, now, batch), batch, answer)
            }
        }
    }
}

/// A verb that failed changes nothing. One whose caller has gone is still stored: dropping an answer cancels
/// nothing.
fn settle<T: Send + 'static>(decided: RowResult<T>, batch: &mut Batch, answer: Answer<T>) -> Settled {
    let decided = decided.map_err(StoreError::from);
    if decided.is_err() {
        *batch = Batch::default();
    }
    Box::new(move |committed| drop(answer.send(committed.and(decided))))
}
