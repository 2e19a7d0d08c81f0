//! What every transaction of a process shares.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tocsin_config::{Config, CountryPrefix, SmsRules};
use tocsin_model::{
    ClientId, CodeAddress, Partition, PhoneNumber, Problem, Transaction, TransactionId, UnixMs,
};
use tocsin_storage::Store;

use crate::arbiter;
use crate::clock::Clock;
use crate::code::CodeKeys;
use crate::handle::random_bytes;
use crate::limits::LINGERING_MAX;
use crate::message::Origins;
use crate::metrics::Metrics;
use crate::protocol::{CallbackOwed, ProviderTable, SayOwed};
use crate::registry::Waiters;
use crate::sms_gate::{CodeBarred, SmsGate, SmsRefusal};
use crate::transaction::{Alarms, Closings, PushIds};

/// Counts a code that is to leave by SMS, or only looks whether it might.
type JudgeSms =
    fn(&SmsGate, &SmsRules, &PhoneNumber, &CountryPrefix, &ClientId, UnixMs) -> Result<(), SmsRefusal>;

/// What every transaction of a process shares.
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    config: ArcSwap<Config>,
    pub(crate) push_ids: PushIds,
    pub(crate) code_keys: CodeKeys,
    pub(crate) waiters: Waiters,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) linger: Duration,
    providers: ArcSwap<ProviderTable>,
    origins: ArcSwap<Origins>,
    /// Counts removals and suspensions of phones, so that a start that met one can tell.
    pub(crate) devices_gone: AtomicUsize,
    callbacks: OnceLock<SayOwed>,
    lingering: Arc<AtomicUsize>,
    pub(crate) closings: Closings,
    pub(crate) sms: SmsGate,
    /// One for each arbiter.
    pub(crate) alarms: Vec<Alarms>,
    /// The transactions that live on each arbiter.
    inhabitants: Vec<AtomicUsize>,
}

/// Transactions that an arbiter may have beside its share of all.
const SHARE_SLACK: usize = 64;

/// A place among the final transactions whose actors stay a moment; given back when dropped.
pub(crate) struct LingerPlace(Arc<AtomicUsize>);

impl Drop for LingerPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Surroundings {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        config: Arc<Config>,
        push_ids: PushIds,
        code_keys: CodeKeys,
        metrics: Arc<Metrics>,
        arbiters: usize,
    ) -> Self {
        Self {
            store,
            clock,
            push_ids,
            code_keys,
            waiters: Waiters::new(&config.engine),
            metrics,
            linger: config.engine.linger.to_std(),
            config: ArcSwap::new(config),
            providers: ArcSwap::from_pointee(ProviderTable::default()),
            origins: ArcSwap::from_pointee(Origins::off()),
            devices_gone: AtomicUsize::new(0),
            callbacks: OnceLock::new(),
            lingering: Arc::default(),
            closings: Closings::default(),
            sms: SmsGate::new(),
            alarms: (0..arbiters).map(|_| Alarms::default()).collect(),
            inhabitants: (0..arbiters).map(|_| AtomicUsize::default()).collect(),
        }
    }

    /// The configuration as it is now. Take it once for each piece of work, so that a reload in its midst does not
    /// mix two.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts another configuration in place of the present one.
    pub(crate) fn set_config(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// Who tells where calls come from.
    pub(crate) fn origins(&self) -> Arc<Origins> {
        self.origins.load_full()
    }

    /// From now on these tell it.
    pub(crate) fn set_origins(&self, origins: Origins) {
        origins.show_zeros(&self.metrics);
        self.origins.store(Arc::new(origins));
    }

    /// The number of the arbiter that a transaction lives on.
    pub(crate) fn arbiter_of(&self, id: TransactionId) -> usize {
        let [.., low, high] = *id.as_bytes();
        usize::from(u16::from_be_bytes([low, high])) % self.alarms.len()
    }

    /// A new id. A transaction that begins on an arbiter lives there, so that its start wakes nobody else; unless more
    /// than their share live there already, as where a portal has a single connection.
    pub(crate) fn new_transaction_id(&self, now: UnixMs) -> Result<TransactionId, Problem> {
        let mut random = random_bytes()?;
        if let Some(number) = arbiter::number().filter(|number| self.has_room_in_its_share(*number)) {
            live_on(&mut random, number, self.alarms.len());
        }
        Ok(TransactionId::compose(now, Partition::default(), random))
    }

    fn has_room_in_its_share(&self, number: usize) -> bool {
        let lives: usize = self.inhabitants.iter().map(|lives| lives.load(Ordering::Relaxed)).sum();
        let own = self.inhabitants.get(number).map(|lives| lives.load(Ordering::Relaxed));
        own.is_some_and(|own| own < share_max(lives, self.inhabitants.len()))
    }

    /// A transaction has an actor from now on.
    pub(crate) fn moved_in(&self, id: TransactionId) {
        self.inhabitants[self.arbiter_of(id)].fetch_add(1, Ordering::Relaxed);
    }

    /// It has none any more.
    pub(crate) fn moved_out(&self, id: TransactionId) {
        self.inhabitants[self.arbiter_of(id)].fetch_sub(1, Ordering::Relaxed);
    }

    /// Where the alarm of a transaction is set.
    pub(crate) fn alarms_of(&self, id: TransactionId) -> &Alarms {
        &self.alarms[self.arbiter_of(id)]
    }

    /// A place for one more lingering actor; `None` when there are too many.
    pub(crate) fn linger_place(&self) -> Option<LingerPlace> {
        let before = self.lingering.fetch_add(1, Ordering::Relaxed);
        let place = LingerPlace(Arc::clone(&self.lingering));
        (before < LINGERING_MAX).then_some(place)
    }

    /// Providers are started after the registry that they revive transactions through.
    pub(crate) fn set_providers(&self, table: ProviderTable) {
        self.providers.store(Arc::new(table));
    }

    pub(crate) fn providers(&self) -> Guard<Arc<ProviderTable>> {
        self.providers.load()
    }

    /// The callback actor is started after this, since it asks for the configuration.
    pub(crate) fn set_callbacks(&self, owed: SayOwed) {
        // A second actor does not exist, so there is nobody whom this could put out.
        let _ = self.callbacks.set(owed);
    }

    /// Counts a code that is about to leave for this address, or says why it must not: a number outside of the
    /// countries that codes may be sent to is none. Mail costs nothing and is not counted, and what nobody sends is none.
    pub(crate) fn admit_code(
        &self,
        config: &Config,
        address: Option<&CodeAddress>,
        client: &ClientId,
    ) -> Result<(), CodeBarred> {
        self.judge_code(config, address, client, SmsGate::admit)
    }

    /// Says whether a code might leave for this address now, and counts none.
    pub(crate) fn look_at_code(
        &self,
        config: &Config,
        address: Option<&CodeAddress>,
        client: &ClientId,
    ) -> Result<(), CodeBarred> {
        self.judge_code(config, address, client, SmsGate::look)
    }

    fn judge_code(
        &self,
        config: &Config,
        address: Option<&CodeAddress>,
        client: &ClientId,
        judge: JudgeSms,
    ) -> Result<(), CodeBarred> {
        let Some(CodeAddress::Phone(number)) = address else { return Ok(()) };
        let prefix = config.sms.prefix_of(number).ok_or(CodeBarred::Country)?;
        let judged = judge(&self.sms, &config.sms, number, prefix, client, self.clock.now());
        if let Err(refusal) = &judged {
            self.metrics.sms_refused(prefix, refusal.bound);
            tracing::warn!(client = %client, prefix = prefix.as_str(), bound = refusal.bound.as_str(), "too many codes by SMS in an hour");
        }
        judged.map_err(CodeBarred::TooMany)
    }

    /// Says that the callback of this outcome is owed.
    pub(crate) fn callback_owed(&self, ended: &Transaction) {
        if let (Some(say), Some(url)) = (self.callbacks.get(), &ended.callback_url) {
            let at = ended.ended_at.unwrap_or(ended.expires_at);
            say(CallbackOwed { client: ended.client.clone(), url: url.clone(), at });
        }
    }

    /// Tells everybody who waits for this transaction.
    pub(crate) fn published(&self, transaction: &Arc<Transaction>) {
        self.waiters.publish(transaction, self.clock.instant());
    }
}

/// So many of all transactions may be drawn to live on one of so many arbiters.
fn share_max(all: usize, arbiters: usize) -> usize {
    let share = all / arbiters;
    share + share / 4 + SHARE_SLACK
}

/// Makes these bytes those of an id that lives on one of so many arbiters, of which the configuration allows some hundred.
/// The last two bytes say on which, and keep what else is random in them.
fn live_on(random: &mut [u8; 16], number: usize, arbiters: usize) {
    let [.., low, high] = random;
    let drawn = usize::from(u16::from_be_bytes([*low, *high]));
    let place = drawn - drawn % arbiters + number;
    let place = if place > usize::from(u16::MAX) { place - arbiters } else { place };
    if let Ok(place) = u16::try_from(place) {
        [*low, *high] = place.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_connection_of_a_portal_draws_little_more_than_a_share() {
        let mut lives = [0_usize; 4];
        for start in 0..100_000 {
            // All starts come in on the first arbiter; an id that is not drawn for it falls anywhere.
            let is_drawn = lives[0] < share_max(lives.iter().sum(), lives.len());
            lives[if is_drawn { 0 } else { start % lives.len() }] += 1;
            assert!(start >= SHARE_SLACK || is_drawn, "a few are no burden");
        }
        assert!((31_000..32_000).contains(&lives[0]), "{lives:?}");
    }

    #[test]
    fn an_id_lives_where_it_was_drawn_for_and_what_is_left_of_it_is_random() {
        for arbiters in [1_usize, 2, 3, 7, 64] {
            for drawn in [0, 1, 0x1234, 0xfffe, 0xffff_u16] {
                for number in 0..arbiters {
                    let mut random = [0xaa; 16];
                    random[14..].copy_from_slice(&drawn.to_be_bytes());
                    live_on(&mut random, number, arbiters);
                    let place = u16::from_be_bytes([random[14], random[15]]);
                    assert_eq!(usize::from(place) % arbiters, number, "{drawn:x} of {arbiters}");
                    assert!(usize::from(place.abs_diff(drawn)) < 2 * arbiters, "{drawn:x} became {place:x}");
                    assert_eq!(random[..14], [0xaa; 14]);
                }
            }
        }
    }
}
