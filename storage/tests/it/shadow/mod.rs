//! Random verbs against a shadow model: whatever is asked, in whatever order and however it is grouped, every
//! store answers as the model does and holds afterwards what the model holds.

mod model;
mod verb;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tocsin_storage::Store;
use tocsin_storage::memory::{MemoryOptions, MemoryStore};

use crate::fixture::*;
use model::Model;
use verb::{Reply, Verb};

/// Random cases on each back end, verbs submitted before any is awaited, and such rounds in a case.
const CASES: u32 = 96;
const VERBS_IN_A_ROUND: usize = 12;
const ROUNDS: usize = 6;

/// Things of a kind that the verbs of one case name; few, so that they meet.
pub const NAMES: u64 = 4;

fn rounds() -> impl Strategy<Value = Vec<Vec<Verb>>> {
    let round = proptest::collection::vec(verb::any_verb(), 1..VERBS_IN_A_ROUND);
    proptest::collection::vec(round, 1..ROUNDS)
}

/// Runs one case; `between` is called when a round has been submitted.
fn run_case(store: &impl Store, first_name: u64, rounds: &[Vec<Verb>], between: impl Fn(bool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut model = Model::new(first_name);
    runtime.block_on(async {
        for round in rounds {
            between(true);
            let expected: Vec<(Verb, Reply)> = round.iter().map(|verb| model.apply(verb)).collect();
            let pending: Vec<_> = expected.iter().map(|(verb, _)| verb.submit(store, first_name)).collect();
            between(false);
            for (pending, (verb, reply)) in pending.into_iter().zip(&expected) {
                assert_eq!(pending.await, *reply, "{verb:?}");
            }
            model.compare(store).await;
        }
    });
}

fn check(run: impl Fn(&[Vec<Verb>])) {
    let mut runner =
        TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() });
    let outcome = runner.run(&rounds(), |rounds| {
        run(&rounds);
        Ok(())
    });
    outcome.expect("the store answers as its model");
}

fn memory() -> MemoryStore {
    let mut options = MemoryOptions::new(TestClock::new().as_clock());
    options.retention = RETENTION;
    MemoryStore::new(options)
}

#[test]
fn memory_answers_as_its_model_verb_by_verb() {
    check(|rounds| run_case(&memory(), 0, rounds, |_| {}));
}

#[test]
fn memory_answers_as_its_model_in_groups() {
    check(|rounds| {
        let store = memory();
        run_case(
            &store,
            0,
            rounds,
            |begins| if begins { store.hold_writes() } else { store.release_writes() },
        );
    });
}

#[cfg(feature = "rocks")]
#[test]
fn rocks_answers_as_its_model() {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Distance of the names of two cases, since they share a store.
    const NAMES_OF_A_CASE: u64 = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = TestClock::new();
    let store = crate::rocks::open(&crate::rocks::storage(folder.path()), &clock).expect("a new database");
    let next_name = AtomicU64::new(0);
    check(|rounds| run_case(&store, next_name.fetch_add(NAMES_OF_A_CASE, Ordering::Relaxed), rounds, |_| {}));
}
