//! The shadow model: what the verbs mean, in plain maps and without a thought for rows.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_model::{
    Callback, CallbackPhase, Device, DeviceStatus, Enrollment, EnrollmentState, EnrolmentMode,
    EnrolmentRules, FailureReason, KeptChallenge, KeyUse, Method, PushTarget, Recipient, State, Transaction,
    User, UserProfile, UserStanding,
};
use tocsin_storage::{
    Amended, Attempted, CallbackList, CallbackSettled, CallbackVerdict, Claimed, Created, DeviceChanged,
    Ended, Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened, Erased, PinTried,
    PushTargetVerdict, Redelivered, Registered, Revoked, Store, TransactionQuery, callback_host,
};

use super::NAMES;
use super::verb::{Change, Reply, Verb, thing};
use crate::fixture::*;

/// What a store must hold; the keys are names with the case's first one added.
pub struct Model {
    first: u64,
    enrols: u64,
    transactions: BTreeMap<u64, Transaction>,
    marks: BTreeMap<u64, (u32, Vec<Recipient>)>,
    enrollments: BTreeMap<u64, Enrollment>,
    promises: BTreeMap<u64, (u64, u64)>,
    devices: BTreeMap<u64, Device>,
    callbacks: BTreeMap<u64, Callback>,
    /// By transaction and phone.
    challenges: BTreeMap<(u64, u64), KeptChallenge>,
    keys: BTreeSet<u64>,
    standings: BTreeMap<u64, UserStanding>,
    profiles: BTreeMap<u64, UserProfile>,
    erased: BTreeSet<u64>,
}

impl Model {
    pub fn new(first: u64) -> Self {
        Self {
            first,
            enrols: 0,
            transactions: BTreeMap::new(),
            marks: BTreeMap::new(),
            enrollments: BTreeMap::new(),
            promises: BTreeMap::new(),
            devices: BTreeMap::new(),
            callbacks: BTreeMap::new(),
            challenges: BTreeMap::new(),
            keys: BTreeSet::new(),
            standings: BTreeMap::new(),
            profiles: BTreeMap::new(),
            erased: BTreeSet::new(),
        }
    }

    /// Does the verb; answers with it as it is to be submitted, and with the reply it must get.
    pub fn apply(&mut self, verb: &Verb) -> (Verb, Reply) {
        let first = self.first;
        let mut verb = verb.clone();
        let reply = match &mut verb {
            Verb::Create { name, promise, challenged } => {
                let created = self.create(first + *name, *promise);
                for device in (0..*challenged).filter(|_| created == Created::New) {
                    self.challenges.insert((first + *name, first + device), thing::challenge(Some(0), 0));
                }
                Reply::Created(created)
            }
            Verb::KeepChallenge { name, device, key, text } => {
                let challenge = thing::challenge(*key, *text);
                Reply::Kept(self.keep_challenge(first + *name, first + *device, challenge))
            }
            Verb::End { name, used, outcome, by } => {
                let ended = thing::ended_by(first + *name, *used, *outcome, by.map(|device| first + device));
                Reply::Ended(self.end(first + *name, ended))
            }
            Verb::Mark { name, revision, status } => {
                self.mark(first + *name, &thing::mark(first + *name, *revision, *status));
                Reply::Marked(())
            }
            Verb::Attempt { name, used_before, last } => {
                let tried = thing::tried_once(first + *name, *used_before, *last);
                Reply::Attempted(self.attempt(first + *name, tried, *used_before))
            }
            Verb::Amend { name, revision, used } => {
                Reply::Amended(self.amend(first + *name, thing::amended(first + *name, *revision, *used)))
            }
            Verb::Claim { name, device, user } => {
                let claimed = claimed(first + *name, first + *device, first + *user);
                Reply::Claimed(self.claim(first + *name, first + *device, first + *user, claimed))
            }
            Verb::OpenEnrollment { name, user, mode, promise } => {
                Reply::Opened(self.open(first + *name, first + *user, *mode, *promise))
            }
            Verb::Confirm { name, is_right, rules } => {
                Reply::Confirmed(self.confirm(first + *name, *is_right, *rules))
            }
            Verb::Change { device, change } => Reply::Changed(self.change(first + *device, *change)),
            Verb::Enrol { code, key, token, device, rules } => {
                *device = self.enrols;
                self.enrols += 1;
                let phone = thing::phone(first + *device, first + *key, first + *token);
                Reply::Enrolled(self.enrol(first + *code, first + *key, phone, *rules))
            }
            Verb::CancelEnrollment { name } => Reply::Cancelled(self.cancel(first + *name)),
            Verb::Revoke { device } => Reply::Revoked(self.revoke(first + *device)),
            Verb::TryPin { device, tries_max } => Reply::PinTried(self.try_pin(first + *device, *tries_max)),
            Verb::Judge { token: name, verdict } => Reply::Judged(self.judge(first + *name, verdict)),
            Verb::Settle { name, tries_before, verdict } => {
                Reply::Settled(self.settle(first + *name, *tries_before, *verdict))
            }
            Verb::Redeliver { name, now } => Reply::Redelivered(self.redeliver(first + *name, *now)),
            Verb::PutProfile { user, number } => {
                self.profiles.insert(first + *user, thing::profile(*number));
                Reply::ProfilePut(())
            }
            Verb::Unlock { user } => {
                Reply::Unlocked(self.standings.remove(&(first + *user)).map_or(Vec::new(), |held| held.locks))
            }
            Verb::Erase { user } => Reply::Erased(self.erase(first + *user)),
        };
        (verb, reply)
    }

    fn create(&mut self, name: u64, promise: Option<(u64, u64)>) -> Created {
        if let Some((key, fingerprint)) = promise {
            match self.promises.get(&key) {
                Some((seen, name)) if *seen == fingerprint => {
                    return Created::Existing(transaction_id(*name));
                }
                Some(_) => return Created::Mismatch,
                None => {}
            }
        }
        if self.transactions.contains_key(&name) {
            return Created::Existing(transaction_id(name));
        }
        if let Some((key, fingerprint)) = promise {
            self.promises.insert(key, (fingerprint, name));
        }
        self.transactions.insert(name, thing::start(name));
        Created::New
    }

    fn end(&mut self, name: u64, mut ended: Transaction) -> Ended {
        let Some(seen) = self.seen(name) else { return Ended::Absent };
        if seen.state.is_final() || !ended.state.is_final() {
            return Ended::Lost(Box::new(seen));
        }
        let by_pin = ended.answer.as_ref().filter(|answer| answer.key_use == KeyUse::Pin);
        if let Some(answer) = by_pin {
            let mut devices = self.devices.values_mut();
            match devices.find(|device| device.id == answer.device_id) {
                Some(device) if device.status != DeviceStatus::Revoked => device.guards.pin_tries_used = 0,
                Some(_) | None => return Ended::DeviceRevoked,
            }
        }
        ended.attempts.used = ended.attempts.used.max(seen.attempts.used);
        self.mark_used(&ended);
        self.owe(name, &ended);
        self.note_end(name, &ended);
        self.transactions.insert(name, ended);
        Ended::Stored
    }

    /// Every transaction is of a user of its own here.
    fn note_end(&mut self, name: u64, ended: &Transaction) {
        let Some(guard) = ended.guard() else { return };
        let standing = self.standings.entry(name).or_default();
        match ended.state {
            State::Accepted => standing.succeed(),
            State::Declined | State::Timeout => {
                standing.miss(ended.ended_at.expect("it has ended"), guard.block);
            }
            _ => {}
        }
    }

    fn erase(&mut self, owner: u64) -> Erased {
        let mut erased = Erased::default();
        let is_his = |known: &Transaction| !known.state.is_final() && known.user == Some(user(owner));
        let seen = self.transactions.keys().filter_map(|name| Some((*name, self.seen(*name)?)));
        let open: Vec<(u64, Transaction)> = seen.filter(|(_, known)| is_his(known)).collect();
        for (name, pending) in open {
            let (state, ended_at) = (State::Failed(FailureReason::UserDeleted), Some(START));
            let revision = pending.revision_after_a_gap(START);
            let ended = Transaction { state, ended_at, revision, ..pending };
            self.owe(name, &ended);
            self.challenges
                .retain(|(of, device), _| *of != name || ended.recipient(&device_id(*device)).is_none());
            let ended = nameless(ended);
            erased.transactions.push(ended.id);
            self.transactions.insert(name, ended);
        }
        let his = |device: &Device| device.user == user(owner);
        let mut devices: Vec<Device> = self.devices.values().filter(|device| his(device)).cloned().collect();
        devices.sort_by_key(|device| device.id);
        self.devices.retain(|_, device| !his(device));
        for device in devices {
            if device.status == DeviceStatus::Unconfirmed {
                let waiting =
                    self.enrollments.values_mut().find(|waiting| waiting.device_id() == Some(device.id));
                let waiting = waiting.expect("it waits for its number");
                waiting.state = EnrollmentState::Failed;
                waiting.revision += 1;
                erased.enrollments.push(waiting.id);
            }
            if device.status != DeviceStatus::Revoked {
                erased.devices.push(device.id);
            }
        }
        self.standings.remove(&owner);
        self.profiles.remove(&owner);
        self.erased.insert(owner);
        erased
    }

    fn keep_challenge(&mut self, name: u64, device: u64, challenge: KeptChallenge) -> KeptChallenge {
        if self.transactions.get(&name).is_none_or(|known| known.state.is_final()) {
            return challenge;
        }
        let key = |kept: &KeptChallenge| match kept {
            KeptChallenge::Sealed(sealed) => Some(sealed.to),
            KeptChallenge::Signed(_) => None,
        };
        match self.challenges.get(&(name, device)) {
            Some(standing) if key(standing) == key(&challenge) => standing.clone(),
            Some(_) | None => {
                self.challenges.insert((name, device), challenge.clone());
                challenge
            }
        }
    }

    fn owe(&mut self, name: u64, ended: &Transaction) {
        let Some(url) = ended.callback_url.clone().filter(|_| ended.state.is_final()) else { return };
        let owed_at = ended.ended_at.expect("a final one has ended");
        let callback = Callback {
            transaction_id: ended.id,
            client: ended.client.clone(),
            url,
            state: ended.state,
            owed_at,
            tries: 0,
            last_fault: None,
            phase: CallbackPhase::Owed { next_try_at: owed_at },
        };
        self.callbacks.insert(name, callback);
    }

    fn settle(&mut self, name: u64, tries_before: u32, verdict: CallbackVerdict) -> CallbackSettled {
        let awaited = |callback: &&mut Callback| {
            matches!(callback.phase, CallbackPhase::Owed { .. }) && callback.tries == tries_before
        };
        let Some(callback) = self.callbacks.get_mut(&name).filter(awaited) else {
            return CallbackSettled::Lost;
        };
        let (fault, phase) = match verdict {
            CallbackVerdict::Delivered => {
                self.callbacks.remove(&name);
                return CallbackSettled::Stored;
            }
            CallbackVerdict::TryAgain { at, fault } => (fault, CallbackPhase::Owed { next_try_at: at }),
            CallbackVerdict::Dead { since, fault } => (fault, CallbackPhase::Dead { since }),
        };
        callback.tries += 1;
        callback.last_fault = Some(fault);
        callback.phase = phase;
        CallbackSettled::Stored
    }

    fn redeliver(&mut self, name: u64, now: tocsin_model::UnixMs) -> Redelivered {
        let Some(callback) = self.callbacks.get_mut(&name) else { return Redelivered::Absent };
        if matches!(callback.phase, CallbackPhase::Dead { .. }) {
            callback.owed_at = now;
        }
        callback.phase = CallbackPhase::Owed { next_try_at: now };
        Redelivered::Owed(Box::new(callback.clone()))
    }

    async fn compare_challenges(&self, store: &impl Store) {
        for (name, device) in (0..NAMES).flat_map(|name| (0..NAMES).map(move |device| (name, device))) {
            let (name, device) = (self.first + name, self.first + device);
            let kept = store.kept_challenge(transaction_id(name), device_id(device)).await.expect("read");
            assert_eq!(kept.as_ref(), self.challenges.get(&(name, device)));
        }
    }

    async fn compare_callbacks(&self, store: &impl Store) {
        for name in (0..NAMES).map(|name| self.first + name) {
            let id = transaction_id(name);
            let known = self.callbacks.get(&name);
            let is_owed = |callback: &&Callback| matches!(callback.phase, CallbackPhase::Owed { .. });
            let owed = store.callback(CallbackList::Owed, id).await.expect("read");
            assert_eq!(owed.as_ref(), known.filter(is_owed));
            let dead = store.callback(CallbackList::Dead, id).await.expect("read");
            assert_eq!(dead.as_ref(), known.filter(|callback| !is_owed(callback)));
            let host = callback_host(&transaction(name).client, &callback_url(name));
            let due = store.due_callbacks(host, START..=START.plus(MINUTE), 10_000).await;
            let due = due.expect("read").callbacks;
            assert_eq!(
                due.iter().filter(|callback| callback.transaction_id == id).count(),
                owed.iter().count()
            );
        }
    }

    fn mark_used(&mut self, ended: &Transaction) {
        let Some(answer) = &ended.answer else { return };
        let answering = self.devices.values_mut().find(|device| device.id == answer.device_id);
        if let Some(device) = answering {
            device.last_used_at = device.last_used_at.max(answer.decided_at);
        }
    }

    fn mark(&mut self, name: u64, marked: &Transaction) {
        let Some(stored) = self.transactions.get(&name) else { return };
        let newest =
            self.marks.get(&name).map_or(stored.revision, |(revision, _)| stored.revision.max(*revision));
        if !stored.state.is_final() && newest < marked.revision {
            self.marks.insert(name, (marked.revision, marked.recipients.clone()));
        }
    }

    /// What a reader sees: the record, and on a pending one the marks that are newer.
    fn seen(&self, name: u64) -> Option<Transaction> {
        let mut seen = self.transactions.get(&name)?.clone();
        if let Some((revision, marked)) = self.marks.get(&name)
            && !seen.state.is_final()
            && *revision > seen.revision
        {
            seen.revision = *revision;
            // A transaction here has at most one phone, which every mark that names a phone names.
            let phone = seen.recipients.first_mut().and_then(|phone| phone.delivery.as_mut());
            if let (Some(delivery), [marked]) = (phone, marked.as_slice()) {
                delivery.status = marked.delivery.as_ref().expect("it is pushed").status;
            }
        }
        Some(seen)
    }

    fn attempt(&mut self, name: u64, tried: Transaction, used_before: u32) -> Attempted {
        let Some(seen) = self.seen(name) else { return Attempted::Absent };
        if seen.state.is_final() || seen.attempts.used != used_before {
            return Attempted::Lost(Box::new(seen));
        }
        self.owe(name, &tried);
        self.transactions.insert(name, tried);
        Attempted::Stored
    }

    fn amend(&mut self, name: u64, amended: Transaction) -> Amended {
        let Some(seen) = self.seen(name) else { return Amended::Absent };
        let stored = &self.transactions[&name];
        let is_newer = stored.revision < amended.revision;
        if seen.state.is_final() || !is_newer || seen.attempts.used != amended.attempts.used {
            return Amended::Lost(Box::new(seen));
        }
        self.transactions.insert(name, amended);
        Amended::Stored
    }

    fn claim(&mut self, name: u64, device: u64, owner: u64, claimed: Transaction) -> Claimed {
        let Some(seen) = self.seen(name) else { return Claimed::Absent };
        let is_free = seen.method == Method::Otp && seen.user.is_none() && !seen.state.is_final();
        if !is_free || seen.revision >= claimed.revision {
            return Claimed::Lost(Box::new(seen));
        }
        let is_in_use =
            |device: &&Device| matches!(device.status, DeviceStatus::Active | DeviceStatus::Unreachable);
        let is_locked = self.standings.get(&owner).is_some_and(|held| held.lock_at(START).is_some());
        match self.devices.get(&device).filter(is_in_use) {
            Some(device) if !is_locked && Some(&device.user) == claimed.user.as_ref() => {
                self.transactions.insert(name, claimed);
                Claimed::Stored
            }
            Some(_) | None => Claimed::Barred,
        }
    }

    fn has_device(&self, user: &User) -> bool {
        self.devices.values().any(|device| device.user == *user && device.status != DeviceStatus::Revoked)
    }

    fn open(
        &mut self,
        name: u64,
        owner: u64,
        mode: EnrolmentMode,
        promise: Option<(u64, u64)>,
    ) -> EnrollmentOpened {
        if let Some((key, fingerprint)) = promise {
            match self.promises.get(&key) {
                Some((seen, name)) if *seen == fingerprint => {
                    return EnrollmentOpened::Existing(enrollment(*name).id);
                }
                Some(_) => return EnrollmentOpened::Mismatch,
                None => {}
            }
        }
        if self.enrollments.contains_key(&name) {
            return EnrollmentOpened::Existing(enrollment(name).id);
        }
        if mode == EnrolmentMode::Single && self.has_device(&user(owner)) {
            return EnrollmentOpened::DeviceExists;
        }
        if let Some((key, fingerprint)) = promise {
            self.promises.insert(key, (fingerprint, name));
        }
        self.enrollments.insert(name, thing::opening(name, owner));
        EnrollmentOpened::New
    }

    fn enrol(&mut self, code: u64, key: u64, phone: Device, rules: EnrolmentRules) -> Enrolled {
        let Some(enrollment) = self.enrollments.get(&code).cloned() else { return Enrolled::BadCode };
        // Every enrolment was opened at the moment of every erasure, and so not behind it.
        if self.erased.iter().any(|owner| user(*owner) == enrollment.user) {
            return Enrolled::BadCode;
        }
        if let Some(id) = enrollment.device_id() {
            let enrolled = self.devices.values().find(|device| device.id == id).expect("it was stored");
            let same = enrolled.keys[0].thumbprint == phone.keys[0].thumbprint;
            return if same { Enrolled::Again(Box::new(enrolled.clone())) } else { Enrolled::BadCode };
        }
        if enrollment.state == EnrollmentState::Failed {
            return Enrolled::BadCode;
        }
        if self.keys.contains(&key) {
            return Enrolled::KeyInUse;
        }
        if rules.mode == EnrolmentMode::Single && self.has_device(&enrollment.user) {
            return Enrolled::DeviceExists;
        }
        self.keys.insert(key);
        // A mark of an answer may be older than the device in this world, but not in the real one. It is joined
        // when the device is read, so that the reply to the enrolment does not have it.
        let device = Device { user: enrollment.user.clone(), enrollment_id: enrollment.id, ..phone };
        let registered = if rules.confirms_number {
            let unconfirmed_until = Some(enrollment.expires_at);
            let device = Device { status: DeviceStatus::Unconfirmed, unconfirmed_until, ..device };
            let state = EnrollmentState::Unconfirmed { device_id: device.id, tries_used: 0 };
            let enrollment = Enrollment { state, revision: enrollment.revision + 1, ..enrollment };
            Registered { enrollment, device, replaced: Vec::new() }
        } else {
            self.complete(enrollment, device, rules.mode)
        };
        self.keep(code, &registered);
        Enrolled::Stored(Box::new(registered))
    }

    fn keep(&mut self, code: u64, registered: &Registered) {
        self.enrollments.insert(code, registered.enrollment.clone());
        let mut device = registered.device.clone();
        let used = self.transactions.values().filter_map(|ended| ended.answer.as_ref());
        let used = used.filter(|answer| answer.device_id == device.id).map(|answer| answer.decided_at).max();
        device.last_used_at = used.unwrap_or(device.last_used_at).max(device.last_used_at);
        self.devices.insert(self.name_of(&device), device);
    }

    fn name_of(&self, device: &Device) -> u64 {
        (self.first..).find(|name| device_id(*name) == device.id).expect("ids are made of names")
    }

    fn complete(&mut self, enrollment: Enrollment, device: Device, mode: EnrolmentMode) -> Registered {
        let mut replaced = Vec::new();
        for other in self.devices.values_mut() {
            let is_replaced = mode == EnrolmentMode::Override
                && other.user == device.user
                && other.id != device.id
                && other.status != DeviceStatus::Revoked;
            if is_replaced {
                replaced.push(other.clone());
            }
        }
        for other in &replaced {
            self.revoke(self.name_of(other));
        }
        let device = self.take_over(device);
        let state = EnrollmentState::Completed { device_id: device.id, completed_at: START };
        let enrollment = Enrollment { state, revision: enrollment.revision + 1, ..enrollment };
        Registered { enrollment, device, replaced }
    }

    /// The newest of a user keeps an address; all are enrolled at once here, so the greatest id is the newest.
    fn take_over(&mut self, device: Device) -> Device {
        let mut keeps = true;
        for other in self.devices.values_mut() {
            let holds = other.id != device.id
                && other.user == device.user
                && other.push.token.is_some()
                && other.push.token == device.push.token
                && !matches!(other.status, DeviceStatus::Unconfirmed | DeviceStatus::Revoked);
            if holds && other.id > device.id {
                keeps = false;
            } else if holds {
                lose_address(other);
                other.revision += 1;
            }
        }
        let mut device = device;
        if !keeps {
            lose_address(&mut device);
        }
        device
    }

    fn confirm(&mut self, name: u64, is_right: bool, rules: EnrolmentRules) -> EnrollmentConfirmed {
        let Some(enrollment) = self.enrollments.get(&name).cloned() else {
            return EnrollmentConfirmed::Absent;
        };
        let (id, tries_used) = match enrollment.state {
            EnrollmentState::Pending => return EnrollmentConfirmed::NoPhoneYet,
            EnrollmentState::Completed { .. } if is_right => {
                return EnrollmentConfirmed::Before(Box::new(enrollment));
            }
            EnrollmentState::Completed { .. } | EnrollmentState::Failed => return EnrollmentConfirmed::Final,
            EnrollmentState::Unconfirmed { device_id, tries_used } => (device_id, tries_used + 1),
        };
        let device = self.devices.values().find(|device| device.id == id).expect("it waits").clone();
        if !is_right {
            let left = 3 - tries_used;
            let mut state = EnrollmentState::Unconfirmed { device_id: id, tries_used };
            if left == 0 {
                state = EnrollmentState::Failed;
                self.devices.remove(&self.name_of(&device));
            }
            let counted = Enrollment { state, revision: enrollment.revision + 1, ..enrollment };
            self.enrollments.insert(name, counted);
            return EnrollmentConfirmed::Wrong { left };
        }
        let is_other = |other: &&Device| other.user == device.user && other.id != device.id;
        let mut others = self.devices.values().filter(is_other);
        if rules.mode == EnrolmentMode::Single && others.any(|other| other.status != DeviceStatus::Revoked) {
            return EnrollmentConfirmed::DeviceExists;
        }
        let status = if device.push_is_dead { DeviceStatus::Unreachable } else { DeviceStatus::Active };
        let revision = device.revision + 1;
        let device = Device { status, unconfirmed_until: None, revision, ..device };
        let registered = self.complete(enrollment, device, rules.mode);
        self.keep(name, &registered);
        EnrollmentConfirmed::Stored(Box::new(registered))
    }

    fn change(&mut self, name: u64, change: Change) -> DeviceChanged {
        let Some(mut device) = self.devices.get(&name).cloned() else { return DeviceChanged::Absent };
        let signed_at = match change {
            Change::Manage { .. } => None,
            Change::Push { signed_at, .. } | Change::Leave { signed_at } => Some(thing::signed_at(signed_at)),
        };
        if device.status == DeviceStatus::Revoked {
            return DeviceChanged::Refused(device.status);
        }
        if signed_at.is_some() && signed_at <= device.last_signed_at {
            return DeviceChanged::Stale;
        }
        let refused = DeviceChanged::Refused(device.status);
        let is_waiting = device.status == DeviceStatus::Unconfirmed;
        device.revision += 1;
        device.last_signed_at = signed_at.or(device.last_signed_at);
        match change {
            Change::Leave { .. } => {
                let stored = self.devices.get_mut(&name).expect("there");
                stored.last_signed_at = signed_at;
                self.revoke(name);
                device.status = DeviceStatus::Revoked;
                return DeviceChanged::Stored(Box::new(device));
            }
            Change::Manage { suspended: Some(_) } if is_waiting => return refused,
            Change::Push { .. } if is_waiting || device.status == DeviceStatus::Suspended => return refused,
            Change::Manage { suspended: None } => {}
            Change::Manage { suspended: Some(true) } => device.status = DeviceStatus::Suspended,
            Change::Manage { suspended: Some(false) } => {
                device.status =
                    if device.push_is_dead { DeviceStatus::Unreachable } else { DeviceStatus::Active };
            }
            Change::Push { token, .. } => {
                device.push = thing::target(self.first + token);
                device.push_suspect_count = 0;
                device.push_is_dead = false;
                device.status = DeviceStatus::Active;
                device = self.take_over(device);
            }
        }
        self.devices.insert(name, device.clone());
        DeviceChanged::Stored(Box::new(device))
    }

    fn cancel(&mut self, name: u64) -> EnrollmentCancelled {
        let Some(enrollment) = self.enrollments.get_mut(&name) else { return EnrollmentCancelled::Absent };
        match enrollment.state {
            EnrollmentState::Completed { .. } => return EnrollmentCancelled::Completed,
            EnrollmentState::Failed => return EnrollmentCancelled::Stored,
            EnrollmentState::Pending => {}
            EnrollmentState::Unconfirmed { device_id, .. } => {
                self.devices.retain(|_, device| device.id != device_id);
            }
        }
        enrollment.state = EnrollmentState::Failed;
        enrollment.revision += 1;
        EnrollmentCancelled::Stored
    }

    fn revoke(&mut self, name: u64) -> Revoked {
        let Some(device) = self.devices.get_mut(&name) else { return Revoked::Absent };
        if device.status == DeviceStatus::Unconfirmed {
            let waiting =
                self.enrollments.values_mut().find(|waiting| waiting.device_id() == Some(device.id));
            let waiting = waiting.expect("it waits for its number");
            waiting.state = EnrollmentState::Failed;
            waiting.revision += 1;
        }
        if device.status != DeviceStatus::Revoked {
            device.status = DeviceStatus::Revoked;
            device.push = PushTarget::none(START);
            device.unconfirmed_until = None;
            device.revision += 1;
        }
        Revoked::Stored
    }

    fn try_pin(&mut self, name: u64, tries_max: u32) -> PinTried {
        let Some(device) = self.devices.get_mut(&name) else { return PinTried::Absent };
        if device.status == DeviceStatus::Revoked {
            return PinTried::Revoked;
        }
        device.guards.pin_tries_used += 1;
        let used = device.guards.pin_tries_used;
        if tries_max > 0 && used >= tries_max {
            self.revoke(name);
            return PinTried::Exhausted;
        }
        PinTried::Counted { used }
    }

    fn judge(&mut self, address: u64, verdict: &PushTargetVerdict) -> Vec<tocsin_model::DeviceId> {
        let mut changed = Vec::new();
        for device in self.devices.values_mut() {
            if device.push.token != Some(token(address)) {
                continue;
            }
            match verdict {
                PushTargetVerdict::Dead { since: Some(_) } => continue,
                PushTargetVerdict::Good if device.push_suspect_count == 0 => continue,
                PushTargetVerdict::Good => device.push_suspect_count = 0,
                PushTargetVerdict::Suspect { others_succeed } => {
                    device.push_suspect_count += 1;
                    if *others_succeed && device.push_suspect_count >= 3 {
                        device.push_is_dead = true;
                        device.status = unreachable(device.status);
                    }
                }
                PushTargetVerdict::Dead { since: None } => lose_address(device),
            }
            device.revision += 1;
            changed.push(device.id);
        }
        changed
    }

    /// Reads everything back.
    pub async fn compare(&self, store: &impl Store) {
        for name in (0..NAMES).map(|name| self.first + name) {
            let stored = store.transaction(transaction_id(name)).await.expect("read");
            assert_eq!(stored, self.seen(name));
            let by_otp = store.transaction_by_otp(otp_hash(name)).await.expect("read");
            assert_eq!(by_otp, stored.filter(|_| thing::otp(name).is_some()).map(|stored| stored.id));
            let stored = store.enrollment(enrollment(name).id).await.expect("read");
            assert_eq!(stored.as_ref(), self.enrollments.get(&name));
            assert_eq!(store.enrollment_by_code(code_hash(name)).await.expect("read"), stored);
            self.compare_devices_of(store, &user(name)).await;
            self.compare_transactions_of(store, &user(name)).await;
            let standing = store.standing(&user(name)).await.expect("read");
            assert_eq!(standing, self.standings.get(&name).cloned().unwrap_or_default());
            let profile = store.profile(&user(name)).await.expect("read");
            assert_eq!(profile.as_ref(), self.profiles.get(&name));
            let known = store.known_user(&user(name)).await.expect("read");
            assert_eq!((known.standing, known.profile), (standing, profile));
        }
        for (name, device) in &self.devices {
            assert_eq!(store.device(device_id(*name)).await.expect("read").as_ref(), Some(device));
            for key in &device.keys {
                let by_kid = store.device_by_kid(key.kid).await.expect("read").expect("there");
                assert_eq!(without_use(&by_kid), without_use(device));
            }
        }
        self.compare_open(store).await;
        self.compare_callbacks(store).await;
        self.compare_challenges(store).await;
    }

    async fn compare_devices_of(&self, store: &impl Store, owner: &User) {
        let listed = store.devices_of(owner).await.expect("read");
        let newest_first = self.devices.values().rev().filter(|device| device.user == *owner);
        assert_eq!(listed.iter().collect::<Vec<_>>(), newest_first.collect::<Vec<_>>());
        let phones = store.phones_of(owner).await.expect("read");
        let live = listed.iter().filter(|device| device.status != DeviceStatus::Revoked).map(without_use);
        assert_eq!(
            phones.iter().map(|phone| without_use(phone)).collect::<Vec<_>>(),
            live.collect::<Vec<_>>()
        );
    }

    async fn compare_transactions_of(&self, store: &impl Store, owner: &User) {
        let query =
            TransactionQuery { user: Some(owner.clone()), limit: 1_000, ..TransactionQuery::default() };
        let page = store.transactions(query).await.expect("read");
        let newest_first = self.transactions.keys().rev().filter_map(|name| self.seen(*name));
        let expected: Vec<Transaction> =
            newest_first.filter(|known| known.user.as_ref() == Some(owner)).collect();
        assert_eq!((page.transactions, page.next), (expected, None));
    }

    async fn compare_open(&self, store: &impl Store) {
        let all = store.open_transactions(None, 10_000).await.expect("read").transactions;
        let ours = |open: &&Transaction| self.transactions.values().any(|known| known.id == open.id);
        let listed: Vec<Transaction> = all.iter().filter(ours).cloned().collect();
        let seen = self.transactions.keys().filter_map(|name| self.seen(*name));
        let pending = seen.filter(|known| !known.state.is_final());
        assert_eq!(listed, pending.collect::<Vec<_>>());
    }
}

fn lose_address(device: &mut Device) {
    device.push = PushTarget::none(START);
    device.push_suspect_count = 0;
    device.push_is_dead = true;
    device.status = unreachable(device.status);
}

fn unreachable(status: DeviceStatus) -> DeviceStatus {
    if status == DeviceStatus::Active { DeviceStatus::Unreachable } else { status }
}

/// As an erasure leaves it.
fn nameless(ended: Transaction) -> Transaction {
    let nameless = |phone: Recipient| Recipient { device_name: "".into(), ..phone };
    let recipients = ended.recipients.into_iter().map(nameless).collect();
    Transaction { recipients, content: Default::default(), call_context: None, ..ended }
}

/// Without what shared reads do not tell.
fn without_use(device: &Device) -> Device {
    Device { last_used_at: device.created_at, ..device.clone() }
}
