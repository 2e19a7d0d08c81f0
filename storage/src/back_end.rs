//! The storage trait, once, over what a back end really does: take a verb, look at rows, say how it is.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, Callback, CallbackHost, ClientId, Device, DeviceId,
    Enrollment, EnrollmentId, EnrolmentRules, Idempotency, KeptChallenge, KeyId, KeyUse, OtpHash,
    ProviderName, PushKind, PushToken, Transaction, TransactionId, UnixMs, User, UserLock, UserProfile,
    UserStanding,
};
use tokio::sync::watch;

use crate::store::{
    Amended, Attempted, AuditChecked, AuditCheckpoint, AuditCut, AuditPage, AuditQuery, CallbackList,
    CallbackPage, CallbackSettled, CallbackVerdict, ChangeNoted, Claimed, Created, DeviceChange,
    DeviceChanged, DueCallbacks, Ended, Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened,
    Erased, Erasure, KeptProviderToken, KeyChange, KeyDeleted, KeyPut, KnownUser, MetaKey, NewEnrollment,
    NewTransaction, OpenIds, OpenPage, Pending, PinTried, PushTargetVerdict, Read, Redelivered, Resend,
    Resent, Revoked, RowsKept, Store, TransactionPage, TransactionQuery,
};
use crate::verb::{Enrolment, RowResult, Table, Verb, audit, callback, look, meta, otp};

/// What the back ends differ in.
pub(crate) trait BackEnd: Send + Sync + 'static {
    /// Takes a verb, without blocking; a verb that cannot be taken is refused through its answer.
    fn submit(&self, verb: Verb);

    /// Asks a question of the stored rows. It may be asked twice: first of the rows in memory only.
    fn look<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static;

    /// The same of so many rows that not all of them can be in memory: asked once, where the disk may be waited for.
    fn look_at_many<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        self.look(question)
    }

    /// Verbs waiting for the writer.
    fn queue_depth(&self) -> usize;

    /// What is kept in memory of rows on disk; nothing where there is no disk.
    fn rows_kept(&self) -> RowsKept {
        RowsKept::default()
    }

    /// Turns `true` when the store has stopped for good.
    fn stopped(&self) -> watch::Receiver<bool>;

    /// How long ago the writer last showed that it lives.
    fn writer_idle_for(&self) -> Duration;
}

impl<B: BackEnd> Store for B {
    fn create(&self, new: NewTransaction) -> Pending<Created> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Create(Box::new(new), answer));
        pending
    }

    fn end(&self, ended: Transaction) -> Pending<Ended> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::End(Box::new(ended), answer));
        pending
    }

    fn mark(&self, marked: Transaction) -> Pending<()> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Mark(Box::new(marked), answer));
        pending
    }

    fn attempt(&self, tried: Transaction, used_before: u32) -> Pending<Attempted> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Attempt { tried: Box::new(tried), used_before, answer });
        pending
    }

    fn keep_challenge(
        &self,
        id: TransactionId,
        device_id: DeviceId,
        challenge: KeptChallenge,
    ) -> Pending<KeptChallenge> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::KeepChallenge { id, device_id, challenge: Box::new(challenge), answer });
        pending
    }

    fn open_enrollment(&self, new: NewEnrollment) -> Pending<EnrollmentOpened> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::OpenEnrollment(Box::new(new), answer));
        pending
    }

    fn amend(&self, amended: Transaction) -> Pending<Amended> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Amend(Box::new(amended), answer));
        pending
    }

    fn claim(&self, claimed: Transaction) -> Pending<Claimed> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Claim(Box::new(claimed), answer));
        pending
    }

    fn enrol(
        &self,
        code_hash: ActivationCodeHash,
        device: Device,
        rules: EnrolmentRules,
        now: UnixMs,
    ) -> Pending<Enrolled> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Enrol(Box::new(Enrolment { code_hash, device, rules, now }), answer));
        pending
    }

    fn confirm_enrollment(
        &self,
        id: EnrollmentId,
        is_right: bool,
        rules: EnrolmentRules,
        now: UnixMs,
    ) -> Pending<EnrollmentConfirmed> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::ConfirmEnrollment { id, is_right, rules, now, answer });
        pending
    }

    fn change_device(
        &self,
        id: DeviceId,
        change: DeviceChange,
        by: AuditActor,
        now: UnixMs,
    ) -> Pending<DeviceChanged> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::ChangeDevice(Box::new((id, change, by)), now, answer));
        pending
    }

    fn cancel_enrollment(&self, id: EnrollmentId) -> Pending<EnrollmentCancelled> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::CancelEnrollment(id, answer));
        pending
    }

    fn revoke_device(&self, id: DeviceId, by: AuditActor, now: UnixMs) -> Pending<Revoked> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::RevokeDevice(id, by, now, answer));
        pending
    }

    fn count_pin_try(&self, id: DeviceId, tries_max: u32, now: UnixMs) -> Pending<PinTried> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::CountPinTry { id, tries_max, now, answer });
        pending
    }

    fn note_change(&self, id: DeviceId, issued_at: UnixMs) -> Pending<ChangeNoted> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::NoteChange(id, issued_at, answer));
        pending
    }

    fn put_key(&self, change: KeyChange) -> Pending<KeyPut> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::PutKey(Box::new(change), answer));
        pending
    }

    fn delete_key(&self, id: DeviceId, key_use: KeyUse) -> Pending<KeyDeleted> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::DeleteKey(id, key_use, answer));
        pending
    }

    fn resend(&self, resend: Resend) -> Pending<Resent> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Resend(Box::new(resend), answer));
        pending
    }

    fn judge_push_target(
        &self,
        kind: PushKind,
        token: PushToken,
        verdict: PushTargetVerdict,
    ) -> Pending<Vec<DeviceId>> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::JudgePushTarget(Box::new((kind, token, verdict)), answer));
        pending
    }

    fn unlock_user(&self, user: User, by: AuditActor) -> Pending<Vec<UserLock>> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::UnlockUser(Box::new((user, by)), answer));
        pending
    }

    fn put_profile(&self, user: User, profile: UserProfile, by: AuditActor) -> Pending<()> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::PutProfile(Box::new((user, profile, by)), answer));
        pending
    }

    fn profile<'a>(&'a self, user: &'a User) -> Read<'a, Option<UserProfile>> {
        let user = user.clone();
        self.look(move |table| table.profile(&user))
    }

    fn erase_user(&self, erasure: Erasure) -> Pending<Erased> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::EraseUser(Box::new(erasure), answer));
        pending
    }

    fn redact_ended(&self, user: User, behind: Option<TransactionId>) -> Pending<Option<TransactionId>> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::RedactEnded(Box::new(user), behind, answer));
        pending
    }

    fn standing<'a>(&'a self, user: &'a User) -> Read<'a, UserStanding> {
        let user = user.clone();
        self.look(move |table| {
            let row = table.user(&user)?.unwrap_or_default();
            Ok(row.standing.without_what_is_over(table.now))
        })
    }

    fn known_user<'a>(&'a self, user: &'a User) -> Read<'a, KnownUser> {
        let user = user.clone();
        self.look(move |table| {
            let row = table.user(&user)?.unwrap_or_default();
            let standing = row.standing.without_what_is_over(table.now);
            Ok(KnownUser { standing, profile: table.profile(&user)? })
        })
    }

    fn keep_meta(&self, key: MetaKey, value: Vec<u8>) -> Pending<Vec<u8>> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::KeepMeta(key, value, answer));
        pending
    }

    fn meta(&self, key: MetaKey) -> Read<'_, Option<Vec<u8>>> {
        self.look(move |table| meta::kept(table, key))
    }

    fn keep_provider_token(&self, provider: ProviderName, token: KeptProviderToken) -> Pending<()> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::KeepProviderToken(Box::new((provider, token)), answer));
        pending
    }

    fn provider_token(&self, provider: ProviderName) -> Read<'_, Option<KeptProviderToken>> {
        self.look(move |table| meta::provider_token(table, &provider))
    }

    fn note(&self, event: AuditEvent) -> Pending<()> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::Note(Box::new(event), answer));
        pending
    }

    fn cut_audit(&self, before: UnixMs) -> Pending<AuditCut> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::CutAudit(before, answer));
        pending
    }

    fn audit(&self, query: AuditQuery) -> Read<'_, AuditPage> {
        self.look_at_many(move |table| audit::list(table, &query))
    }

    fn check_audit(&self, checkpoint: AuditCheckpoint) -> Read<'_, AuditChecked> {
        self.look_at_many(move |table| audit::check(table, &checkpoint))
    }

    fn settle_callback(
        &self,
        id: TransactionId,
        tries_before: u32,
        verdict: CallbackVerdict,
    ) -> Pending<CallbackSettled> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::SettleCallback { id, tries_before, verdict, answer });
        pending
    }

    fn redeliver_callback(&self, id: TransactionId, by: AuditActor, now: UnixMs) -> Pending<Redelivered> {
        let (answer, pending) = Pending::channel();
        self.submit(Verb::RedeliverCallback(id, by, now, answer));
        pending
    }

    fn callback(&self, list: CallbackList, id: TransactionId) -> Read<'_, Option<Callback>> {
        self.look(move |table| table.callback(list, &id))
    }

    fn callbacks(
        &self,
        list: CallbackList,
        after: Option<TransactionId>,
        limit: usize,
    ) -> Read<'_, CallbackPage> {
        self.look(move |table| callback::page(table, list, after, limit))
    }

    fn due_callbacks(
        &self,
        host: CallbackHost,
        within: RangeInclusive<UnixMs>,
        limit: usize,
    ) -> Read<'_, DueCallbacks> {
        self.look(move |table| callback::due(table, &host, &within, limit))
    }

    fn callback_hosts(
        &self,
        after: Option<CallbackHost>,
        limit: usize,
    ) -> Read<'_, Vec<(CallbackHost, UnixMs)>> {
        self.look(move |table| callback::hosts(table, after, limit))
    }

    fn transaction(&self, id: TransactionId) -> Read<'_, Option<Transaction>> {
        self.look(move |table| table.transaction(&id))
    }

    fn transaction_by_otp(&self, hash: OtpHash) -> Read<'_, Option<TransactionId>> {
        self.look(move |table| otp::transaction(table, &hash))
    }

    fn kept_challenge(&self, id: TransactionId, device_id: DeviceId) -> Read<'_, Option<KeptChallenge>> {
        self.look(move |table| table.kept_challenge(&id, &device_id))
    }

    fn by_idempotency_key<'a>(
        &'a self,
        client: &'a ClientId,
        idempotency: &'a Idempotency,
    ) -> Read<'a, Option<Created>> {
        let (client, idempotency) = (client.clone(), idempotency.clone());
        self.look(move |table| look::by_idempotency_key(table, &client, &idempotency))
    }

    fn enrollment_by_idempotency_key<'a>(
        &'a self,
        client: &'a ClientId,
        idempotency: &'a Idempotency,
    ) -> Read<'a, Option<EnrollmentOpened>> {
        let (client, idempotency) = (client.clone(), idempotency.clone());
        self.look(move |table| look::enrollment_by_idempotency_key(table, &client, &idempotency))
    }

    fn open_ids(&self, after: Option<(UnixMs, TransactionId)>, limit: usize) -> Read<'_, OpenIds> {
        self.look_at_many(move |table| look::open_ids(table, after, limit))
    }

    fn transactions_with(&self, ids: Vec<TransactionId>) -> Read<'_, Vec<Transaction>> {
        self.look_at_many(move |table| table.transactions(&ids))
    }

    fn open_transactions(&self, after: Option<(UnixMs, TransactionId)>, limit: usize) -> Read<'_, OpenPage> {
        self.look_at_many(move |table| look::open_transactions(table, after, limit))
    }

    fn transactions(&self, query: TransactionQuery) -> Read<'_, TransactionPage> {
        match query.user {
            // Few: the ones of a user are bounded, and a start waits for them.
            Some(_) => self.look(move |table| look::transactions(table, &query)),
            None => self.look_at_many(move |table| look::transactions(table, &query)),
        }
    }

    fn enrollment(&self, id: EnrollmentId) -> Read<'_, Option<Enrollment>> {
        self.look(move |table| table.enrollment(&id))
    }

    fn enrollment_by_code(&self, code_hash: ActivationCodeHash) -> Read<'_, Option<Enrollment>> {
        self.look(move |table| table.enrollment_by_code(&code_hash))
    }

    fn device(&self, id: DeviceId) -> Read<'_, Option<Device>> {
        self.look(move |table| table.device(&id))
    }

    fn phone(&self, id: DeviceId) -> Read<'_, Option<Arc<Device>>> {
        self.look(move |table| table.phone(&id))
    }

    fn devices(&self, ids: Vec<DeviceId>) -> Read<'_, Vec<Device>> {
        self.look_at_many(move |table| table.devices(&ids))
    }

    fn device_by_kid(&self, kid: KeyId) -> Read<'_, Option<Arc<Device>>> {
        self.look(move |table| look::device_by_kid(table, &kid))
    }

    fn devices_of<'a>(&'a self, user: &'a User) -> Read<'a, Vec<Device>> {
        let user = user.clone();
        self.look(move |table| look::devices_of(table, &user))
    }

    fn phones_of<'a>(&'a self, user: &'a User) -> Read<'a, Vec<Arc<Device>>> {
        let user = user.clone();
        self.look(move |table| look::phones_of(table, &user))
    }

    fn queue_depth(&self) -> usize {
        BackEnd::queue_depth(self)
    }

    fn rows_kept(&self) -> RowsKept {
        BackEnd::rows_kept(self)
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        BackEnd::stopped(self)
    }

    fn writer_idle_for(&self) -> Duration {
        BackEnd::writer_idle_for(self)
    }
}
