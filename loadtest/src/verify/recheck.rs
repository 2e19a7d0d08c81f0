//! After a restart: everything that was acknowledged is looked for, and everything cut is asked again.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use tocsin_mock::{PushLog, World};
use tocsin_model::TransactionId;

use super::parallel::in_parallel;
use super::traffic::{Traffic, is_cut};
use crate::handset::pushed_transaction;
use crate::random::Random;
use crate::{LoadtestError, PhoneKind};

/// Calls at a time.
const WORKERS: usize = 64;

/// Transactions of earlier rounds that ended, of which this many are looked at again after each restart; at the very
/// end all are.
const OLD_SAMPLE: usize = 100;

/// How often a call is sent again whose connection ended: it may have been one of the killed server that nobody had
/// noticed to be dead. Whatever is sent here may be sent again.
const AGAIN_MAX: usize = 2;

/// Answers and keys of the round that are repeated.
const REPEATED_MAX: usize = 200;

/// What the push networks have on record.
#[derive(Debug, Default)]
pub(super) struct PushBook {
    sequences: [u64; 2],
    apns_ids: HashMap<TransactionId, String>,
}

impl PushBook {
    /// The transactions of the accepted pushes since the last look; a push of the same transaction must have the same
    /// `apns-id`.
    fn read(&mut self, world: &World, traffic: &Traffic) -> HashSet<TransactionId> {
        let mut pushed = HashSet::new();
        for (index, kind) in [PhoneKind::Iphone, PhoneKind::Android].into_iter().enumerate() {
            let log: &PushLog = kind.pushes(world);
            for record in log.records() {
                if record.sequence <= self.sequences[index] || !record.is_accepted() {
                    continue;
                }
                self.sequences[index] = record.sequence;
                let Some(id) = pushed_transaction(kind, &record) else { continue };
                pushed.insert(id);
                let Some(apns_id) = record.header("apns-id") else { continue };
                let first = self.apns_ids.entry(id).or_insert_with(|| apns_id.to_owned());
                if first != apns_id {
                    traffic.ledger().contradict(format!("{id} was pushed as {first} and as {apns_id}"));
                }
            }
        }
        pushed
    }
}

/// Holds what the server says after a restart against what it said before.
pub(super) async fn recheck(
    traffic: &Arc<Traffic>,
    world: &World,
    book: &mut PushBook,
    random: &mut Random,
) -> Result<(), LoadtestError> {
    let round = traffic.round();
    // What has left the house must be on disk, acknowledged or not.
    for id in book.read(world, traffic) {
        traffic.ledger().started(id, round, None);
    }
    let mut ids = traffic.ledger().ids(|entry| entry.round == round || entry.end.is_none());
    let ended = traffic.ledger().ids(|entry| entry.round != round && entry.end.is_some());
    ids.extend((0..OLD_SAMPLE).filter_map(|_| random.pick(&ended).copied()));
    read_all(traffic, ids).await?;
    repeat_starts(traffic, round).await?;
    repeat_answers(traffic, round).await
}

/// Reads each of these, which must exist.
pub(super) async fn read_all(traffic: &Arc<Traffic>, ids: Vec<TransactionId>) -> Result<(), LoadtestError> {
    each(traffic, ids, |traffic, id| async move { traffic.read(id).await }).await
}

/// Ends each of these, whatever the end.
pub(super) async fn cancel_all(traffic: &Arc<Traffic>, ids: Vec<TransactionId>) -> Result<(), LoadtestError> {
    each(traffic, ids, |traffic, id| async move { traffic.cancel(id).await }).await
}

/// Starts with a key: cut ones make their transaction now or have made it, acknowledged ones give it again.
async fn repeat_starts(traffic: &Arc<Traffic>, round: u32) -> Result<(), LoadtestError> {
    let cut = traffic.ledger().take_cut_starts();
    let mut known = traffic.ledger().keyed_starts_of(round);
    known.truncate(REPEATED_MAX);
    let starts = cut.into_iter().map(|keyed| (keyed, None));
    let starts = starts.chain(known.into_iter().map(|(keyed, id)| (keyed, Some(id)))).collect();
    each(traffic, starts, |traffic, (keyed, made)| async move {
        let fields = traffic.fields(keyed.member, keyed.ttl_s);
        let started = traffic.portal.start(&fields, Some(&keyed.key)).await?;
        if made.is_some() && !started.seen_before {
            let key = &keyed.key;
            traffic.ledger().contradict(format!("the key {key} of an acknowledged start is not known"));
        }
        traffic.ledger().started(started.view.id, traffic.round(), Some(keyed));
        Ok(())
    })
    .await
}

/// Answers of the round: taken ones get their first reply again, cut ones are taken now, or too late.
async fn repeat_answers(traffic: &Arc<Traffic>, round: u32) -> Result<(), LoadtestError> {
    let mut answers = Vec::new();
    let ids = traffic.ledger().ids(|entry| entry.round == round && !entry.answers.is_empty());
    for id in ids.into_iter().take(REPEATED_MAX) {
        let of_it = traffic.ledger().entry(id).map(|entry| entry.answers.clone()).unwrap_or_default();
        answers.extend(of_it.into_iter().map(|answer| (id, answer)));
    }
    each(traffic, answers, |traffic, (id, answer)| async move {
        traffic.send_answer(answer.member, id, &answer.jws).await
    })
    .await
}

async fn each<T, Doing>(
    traffic: &Arc<Traffic>,
    items: Vec<T>,
    work: impl Fn(Arc<Traffic>, T) -> Doing + Clone + Send + 'static,
) -> Result<(), LoadtestError>
where
    T: Clone + Send + Sync + 'static,
    Doing: Future<Output = Result<(), LoadtestError>> + Send,
{
    let (traffic, items) = (Arc::clone(traffic), Arc::new(items));
    let count = items.len();
    let done = in_parallel(WORKERS, count, move |index| {
        let (traffic, item) = (Arc::clone(&traffic), items.get(index).cloned());
        let work = work.clone();
        async move {
            let Some(item) = item else { return Ok(()) };
            let mut done = work(Arc::clone(&traffic), item.clone()).await;
            for _ in 0..AGAIN_MAX {
                if !done.as_ref().is_err_and(is_cut) {
                    break;
                }
                done = work(Arc::clone(&traffic), item.clone()).await;
            }
            done
        }
    });
    done.await.map(drop)
}
