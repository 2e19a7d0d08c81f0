//! Verbs by small names, and their replies as one type.

use std::future::Future;
use std::pin::Pin;

use proptest::prelude::*;
use tocsin_model::{
    AuditActor, BlockRule, CallbackFault, DeliveryStatus, Device, DeviceId, DurationMs, Enrollment,
    EnrolmentMode, EnrolmentRules, FailureReason, Fatigue, Guard, KeptChallenge, KeyUse, OtpHash,
    PhoneNumber, PushKind, PushTarget, SealedChallenge, State, Thumbprint, Transaction, UnixMs, UserLock,
    UserProfile,
};
use tocsin_storage::{
    Amended, Attempted, CallbackSettled, CallbackVerdict, Claimed, Created, DeviceChange, DeviceChanged,
    Ended, Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened, Erased, Erasure,
    NewEnrollment, NewTransaction, Pending, PinTried, PushTargetVerdict, Redelivered, Revoked, Store,
};

use super::NAMES;
use crate::fixture::*;

/// How far a push comes here.
const STATUSES: &[DeliveryStatus] =
    &[DeliveryStatus::Relayed, DeliveryStatus::Fetched, DeliveryStatus::Failed];

/// A verb. Numbers are names inside the case; a promise is a key and a fingerprint, which are others for each call.
#[derive(Clone, Debug)]
pub enum Verb {
    Create {
        name: u64,
        promise: Option<(u64, u64)>,
        /// The phones whose challenges are kept with it.
        challenged: u64,
    },
    /// A challenge for this key of the phone, or signed only.
    KeepChallenge {
        name: u64,
        device: u64,
        key: Option<u64>,
        text: u8,
    },
    End {
        name: u64,
        used: u32,
        outcome: State,
        by: Option<u64>,
    },
    Mark {
        name: u64,
        revision: u32,
        /// `None` names no phone.
        status: Option<DeliveryStatus>,
    },
    Attempt {
        name: u64,
        used_before: u32,
        last: bool,
    },
    Amend {
        name: u64,
        revision: u32,
        used: u32,
    },
    /// The phone says whose it is, truly or not.
    Claim {
        name: u64,
        device: u64,
        user: u64,
    },
    OpenEnrollment {
        name: u64,
        user: u64,
        mode: EnrolmentMode,
        promise: Option<(u64, u64)>,
    },
    /// `device` is filled in by the model: ids of devices are never chosen twice.
    Enrol {
        code: u64,
        key: u64,
        token: u64,
        device: u64,
        rules: EnrolmentRules,
    },
    Confirm {
        name: u64,
        is_right: bool,
        rules: EnrolmentRules,
    },
    Change {
        device: u64,
        change: Change,
    },
    CancelEnrollment {
        name: u64,
    },
    Revoke {
        device: u64,
    },
    /// A wrong PIN, of which this many are allowed.
    TryPin {
        device: u64,
        tries_max: u32,
    },
    Judge {
        token: u64,
        verdict: PushTargetVerdict,
    },
    Settle {
        name: u64,
        tries_before: u32,
        verdict: CallbackVerdict,
    },
    Redeliver {
        name: u64,
        now: UnixMs,
    },
    PutProfile {
        user: u64,
        number: u64,
    },
    Unlock {
        user: u64,
    },
    /// With every transaction of the case named as perhaps open.
    Erase {
        user: u64,
    },
}

/// A change of a device.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Manage { suspended: Option<bool> },
    Push { token: u64, signed_at: u64 },
    Leave { signed_at: u64 },
}

/// What a verb was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Created(Created),
    Kept(KeptChallenge),
    Ended(Ended),
    Marked(()),
    Attempted(Attempted),
    Amended(Amended),
    Claimed(Claimed),
    Confirmed(EnrollmentConfirmed),
    Changed(DeviceChanged),
    Opened(EnrollmentOpened),
    Enrolled(Enrolled),
    Cancelled(EnrollmentCancelled),
    Revoked(Revoked),
    PinTried(PinTried),
    Judged(Vec<DeviceId>),
    Settled(CallbackSettled),
    Redelivered(Redelivered),
    ProfilePut(()),
    Unlocked(Vec<UserLock>),
    Erased(Erased),
}

pub fn any_verb() -> impl Strategy<Value = Verb> {
    let name = || 0..NAMES;
    let promise = |fingerprints: std::ops::Range<u64>| proptest::option::of((0..2_u64, fingerprints));
    let outcome = prop_oneof![
        Just(State::Pending),
        Just(State::Accepted),
        Just(State::Declined),
        Just(State::Timeout),
        Just(State::Failed(FailureReason::NoDevice)),
    ];
    let verdict = prop_oneof![
        Just(PushTargetVerdict::Dead { since: None }),
        Just(PushTargetVerdict::Dead { since: Some(START) }),
        any::<bool>().prop_map(|others_succeed| PushTargetVerdict::Suspect { others_succeed }),
        Just(PushTargetVerdict::Good),
    ];
    let mode = || {
        proptest::sample::select(
            &[EnrolmentMode::Single, EnrolmentMode::Override, EnrolmentMode::Multiple][..],
        )
    };
    let rules = || {
        (mode(), any::<bool>()).prop_map(|(mode, confirms_number)| EnrolmentRules { mode, confirms_number })
    };
    let change = prop_oneof![
        proptest::option::of(any::<bool>()).prop_map(|suspended| Change::Manage { suspended }),
        (0..2_u64, 1..9_u64).prop_map(|(token, signed_at)| Change::Push { token, signed_at }),
        (1..9_u64).prop_map(|signed_at| Change::Leave { signed_at }),
    ];
    let moment = || (0..4_u64).prop_map(|seconds| UnixMs::new(START.get() + seconds * 1_000));
    let settled = prop_oneof![
        Just(CallbackVerdict::Delivered),
        moment().prop_map(|at| CallbackVerdict::TryAgain { at, fault: CallbackFault::Connect }),
        moment().prop_map(|since| CallbackVerdict::Dead { since, fault: CallbackFault::Redirect }),
    ];
    prop_oneof![
        4 => (name(), promise(0..2), 0..3_u64)
            .prop_map(|(name, promise, challenged)| Verb::Create { name, promise, challenged }),
        3 => (name(), 0..2_u64, proptest::option::of(0..2_u64), any::<u8>())
            .prop_map(|(name, device, key, text)| Verb::KeepChallenge { name, device, key, text }),
        3 => (name(), 0..3_u32, outcome, proptest::option::of(name()))
            .prop_map(|(name, used, outcome, by)| Verb::End { name, used, outcome, by }),
        2 => (name(), 1..16_u32, proptest::option::of(proptest::sample::select(STATUSES)))
            .prop_map(|(name, revision, status)| Verb::Mark { name, revision, status }),
        3 => (name(), 0..3_u32, any::<bool>())
            .prop_map(|(name, used_before, last)| Verb::Attempt { name, used_before, last }),
        1 => (name(), 1..16_u32, 0..2_u32)
            .prop_map(|(name, revision, used)| Verb::Amend { name, revision, used }),
        4 => (2..NAMES, name(), 0..2_u64)
            .prop_map(|(name, device, user)| Verb::Claim { name, device, user }),
        4 => (name(), 0..2_u64, mode(), promise(2..4))
            .prop_map(|(name, user, mode, promise)| Verb::OpenEnrollment { name, user, mode, promise }),
        5 => (name(), name(), 0..2_u64, rules())
            .prop_map(|(code, key, token, rules)| Verb::Enrol { code, key, token, device: 0, rules }),
        3 => (name(), any::<bool>(), rules())
            .prop_map(|(name, is_right, rules)| Verb::Confirm { name, is_right, rules }),
        2 => (name(), change).prop_map(|(device, change)| Verb::Change { device, change }),
        1 => name().prop_map(|name| Verb::CancelEnrollment { name }),
        2 => name().prop_map(|device| Verb::Revoke { device }),
        3 => (name(), 0..4_u32).prop_map(|(device, tries_max)| Verb::TryPin { device, tries_max }),
        2 => (0..2_u64, verdict).prop_map(|(token, verdict)| Verb::Judge { token, verdict }),
        4 => (name(), 0..3_u32, settled)
            .prop_map(|(name, tries_before, verdict)| Verb::Settle { name, tries_before, verdict }),
        2 => (name(), moment()).prop_map(|(name, now)| Verb::Redeliver { name, now }),
        1 => (name(), 0..2_u64).prop_map(|(user, number)| Verb::PutProfile { user, number }),
        1 => name().prop_map(|user| Verb::Unlock { user }),
        2 => name().prop_map(|user| Verb::Erase { user }),
    ]
}

/// What the verbs hand over; model and store get the same.
pub mod thing {
    use super::*;

    /// Every other transaction calls back, two of four do something to their users, and one is anonymous.
    pub fn start(name: u64) -> Transaction {
        if name % 4 == 3 {
            return unclaimed(name);
        }
        let mut started = if name.is_multiple_of(2) { calling(transaction(name)) } else { transaction(name) };
        if matches!(name % 4, 1 | 2) {
            let block = BlockRule { after: 1, length: MINUTE };
            let guard = Some(Guard { counts: true, block: Some(block), report_lock: None });
            started.seldom_mut().fatigue = Fatigue { guard, ..Fatigue::default() }.kept();
        }
        started
    }

    /// The one-time password of the anonymous ones.
    pub fn otp(name: u64) -> Option<OtpHash> {
        (name % 4 == 3).then(|| otp_hash(name))
    }

    pub fn profile(number: u64) -> UserProfile {
        let phone_number = PhoneNumber::parse(&format!("+1505555123{number}"));
        UserProfile { phone_number, ..UserProfile::default() }
    }

    pub fn erasure(first: u64, owner: u64) -> Erasure {
        let open = (0..NAMES).map(|name| transaction_id(first + name)).collect();
        Erasure { user: user(first + owner), open, by: AuditActor::Server, now: START }
    }

    /// A challenge for a key of a phone, or signed only; the text tells two of them apart.
    pub fn challenge(key: Option<u64>, text: u8) -> KeptChallenge {
        match key {
            Some(key) => KeptChallenge::Sealed(SealedChallenge {
                to: Thumbprint::from_bytes(bytes32(key)),
                encapsulated: [4; 65],
                ciphertext: vec![text; 40].into(),
            }),
            None => KeptChallenge::Signed(format!("e30.e30.{text}").into()),
        }
    }

    pub fn ended_by(name: u64, used: u32, outcome: State, by: Option<u64>) -> Transaction {
        let mut pending = start(name);
        pending.attempts.used = used;
        match by {
            Some(device) if outcome.is_final() => {
                let mut ended = answered(pending, device_id(device), START.plus(MINUTE));
                // Half of the phones answer by their PIN.
                let by_pin = device.is_multiple_of(2);
                ended.answer.iter_mut().filter(|_| by_pin).for_each(|answer| answer.key_use = KeyUse::Pin);
                Transaction { state: outcome, ..ended }
            }
            _ => ended(pending, outcome),
        }
    }

    /// Apart from revision and deliveries it is another transaction, of which nothing may be stored.
    pub fn mark(name: u64, revision: u32, status: Option<DeliveryStatus>) -> Transaction {
        let known = marked(transaction(name), revision, status.unwrap_or(DeliveryStatus::Queued));
        let mut mark = Transaction { id: known.id, revision, ..transaction(name + 1) };
        mark.attempts.used = 1;
        mark.recipients = if status.is_some() { known.recipients } else { Vec::new() };
        mark
    }

    pub fn tried_once(name: u64, used_before: u32, last: bool) -> Transaction {
        let mut tried = start(name);
        tried.attempts.used = used_before + 1;
        tried.revision = 10 + used_before;
        if last { ended(tried, State::Failed(FailureReason::AttemptsExceeded)) } else { tried }
    }

    pub fn amended(name: u64, revision: u32, used: u32) -> Transaction {
        let mut amended = Transaction { revision, ..start(name) };
        amended.attempts.used = used;
        amended.recipients.iter_mut().for_each(|recipient| recipient.device_name = "left".into());
        amended
    }

    pub fn target(name: u64) -> PushTarget {
        PushTarget { token: Some(token(name)), ..super::device(0).push }
    }

    pub fn signed_at(number: u64) -> tocsin_model::UnixMs {
        START.plus(DurationMs::new(number))
    }

    pub fn opening(name: u64, owner: u64) -> Enrollment {
        Enrollment { user: user(owner), ..enrollment(name) }
    }

    pub fn phone(device: u64, key_name: u64, token_name: u64) -> Device {
        let mut phone = super::device(device);
        phone.keys = vec![
            key(KeyUse::Device, key_name),
            key(KeyUse::Biometric, device + 0x1000_0000),
            key(KeyUse::Pin, device + 0x2000_0000),
        ];
        phone.push.token = Some(token(token_name));
        phone
    }
}

type Answer = Pin<Box<dyn Future<Output = Reply>>>;

fn answer<T: 'static>(pending: Pending<T>, reply: fn(T) -> Reply) -> Answer {
    Box::pin(async move { reply(pending.await.expect("answered")) })
}

impl Verb {
    /// Submits the verb; its names begin at `first`.
    pub fn submit(&self, store: &impl Store, first: u64) -> Answer {
        let promised = |(key, fingerprint): (u64, u64)| promise(&format!("key-{}", first + key), fingerprint);
        match self.clone() {
            Self::Create { name, promise, challenged } => {
                let challenge = |device| (device_id(first + device), thing::challenge(Some(0), 0));
                let new = NewTransaction {
                    transaction: thing::start(first + name),
                    idempotency: promise.map(promised),
                    challenges: (0..challenged).map(challenge).collect(),
                    otp: thing::otp(first + name),
                };
                answer(store.create(new), Reply::Created)
            }
            Self::KeepChallenge { name, device, key, text } => {
                let (id, device_id) = (transaction_id(first + name), device_id(first + device));
                answer(store.keep_challenge(id, device_id, thing::challenge(key, text)), Reply::Kept)
            }
            Self::End { name, used, outcome, by } => {
                let ended = thing::ended_by(first + name, used, outcome, by.map(|device| first + device));
                answer(store.end(ended), Reply::Ended)
            }
            Self::Mark { name, revision, status } => {
                answer(store.mark(thing::mark(first + name, revision, status)), Reply::Marked)
            }
            Self::Attempt { name, used_before, last } => {
                let tried = thing::tried_once(first + name, used_before, last);
                answer(store.attempt(tried, used_before), Reply::Attempted)
            }
            Self::Amend { name, revision, used } => {
                answer(store.amend(thing::amended(first + name, revision, used)), Reply::Amended)
            }
            Self::Claim { name, device, user } => {
                let claimed = claimed(first + name, first + device, first + user);
                answer(store.claim(claimed), Reply::Claimed)
            }
            Self::OpenEnrollment { name, user, mode, promise } => {
                let enrollment = thing::opening(first + name, first + user);
                let idempotency = promise.map(promised);
                let new = NewEnrollment { enrollment, mode, needs_authorization: false, idempotency };
                answer(store.open_enrollment(new), Reply::Opened)
            }
            Self::Enrol { code, key, token, device, rules } => {
                let phone = thing::phone(first + device, first + key, first + token);
                answer(store.enrol(code_hash(first + code), phone, rules, START), Reply::Enrolled)
            }
            Self::Confirm { name, is_right, rules } => {
                let id = enrollment(first + name).id;
                answer(store.confirm_enrollment(id, is_right, rules, START), Reply::Confirmed)
            }
            Self::Change { device, change } => {
                let change = match change {
                    Change::Manage { suspended } => DeviceChange::Manage { name: None, suspended },
                    Change::Push { token, signed_at } => DeviceChange::Push {
                        target: thing::target(first + token),
                        signed_at: thing::signed_at(signed_at),
                    },
                    Change::Leave { signed_at } => {
                        DeviceChange::Leave { signed_at: thing::signed_at(signed_at) }
                    }
                };
                answer(
                    store.change_device(device_id(first + device), change, AuditActor::Server, START),
                    Reply::Changed,
                )
            }
            Self::CancelEnrollment { name } => {
                answer(store.cancel_enrollment(enrollment(first + name).id), Reply::Cancelled)
            }
            Self::Revoke { device } => answer(
                store.revoke_device(device_id(first + device), AuditActor::Server, START),
                Reply::Revoked,
            ),
            Self::TryPin { device, tries_max } => {
                answer(store.count_pin_try(device_id(first + device), tries_max, START), Reply::PinTried)
            }
            Self::Judge { token: name, verdict } => {
                answer(store.judge_push_target(PushKind::Apns, token(first + name), verdict), Reply::Judged)
            }
            Self::Settle { name, tries_before, verdict } => {
                let id = transaction_id(first + name);
                answer(store.settle_callback(id, tries_before, verdict), Reply::Settled)
            }
            Self::PutProfile { user: owner, number } => {
                let put = store.put_profile(user(first + owner), thing::profile(number), AuditActor::Server);
                answer(put, Reply::ProfilePut)
            }
            Self::Unlock { user: owner } => {
                answer(store.unlock_user(user(first + owner), AuditActor::Server), Reply::Unlocked)
            }
            Self::Erase { user } => answer(store.erase_user(thing::erasure(first, user)), Reply::Erased),
            Self::Redeliver { name, now } => answer(
                store.redeliver_callback(transaction_id(first + name), AuditActor::Server, now),
                Reply::Redelivered,
            ),
        }
    }
}
