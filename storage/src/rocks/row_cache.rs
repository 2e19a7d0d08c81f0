//! Single rows in memory, in the form in which they are stored: those that every start, challenge and answer look at.
//! RocksDB finds a row by a search in each buffer and table; here it is one look into a map, also for a row that is
//! known to be absent, and for the whole list of a user's devices. What was read from a row lies beside it, so that a
//! phone is decoded, and opened where rows are sealed, once and not for each of its calls.
//!
//! Invariants: bounded in bytes; what is kept is what is committed, and nobody is answered for a commit before what it
//! changed is changed here. The writer tells each change behind its write; a reader that looked into the database
//! before that is refused, since the shard has counted a change meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use crate::RowsKept;
use crate::key::Key;
use crate::verb::rows::{KeptRow, Row};

/// Parts with a lock of their own, so that threads seldom meet.
const SHARDS: usize = 64;

/// What an entry takes beside its bytes: key, counters, its place in the map, and a part of the places of those that were
/// there before.
const ENTRY_BYTES: usize = 256;

/// What a device takes that was read from its row, beside once more the bytes of that.
const DEVICE_BYTES: usize = 1_024;

/// What an entry takes on average, as far as the map's own bookkeeping goes by it.
const USUAL_BYTES: usize = 512;

/// What is known of a key.
#[derive(Clone)]
pub(super) enum Known {
    /// Its row, or that there is none.
    Row(Option<Arc<KeptRow>>),
    /// Every row below it.
    Rows(Arc<[Row]>),
}

/// What looking for a key comes to.
pub(super) enum Look {
    /// It is known.
    Known(Known),
    /// It is not; what the database says may be kept if nothing changes meanwhile.
    Unknown(Seen),
}

/// How many changes a shard had counted.
pub(super) struct Seen(u64);

/// The rows in memory.
pub(super) struct RowCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

/// What is looked at stays, what is not goes when there is no room.
struct Shard {
    known: Cache<Key, Known, Bytes, RandomState>,
    changes: u64,
    found: u64,
    read: u64,
}

/// An entry weighs what it takes, decoded or not.
#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Key, Known> for Bytes {
    fn weight(&self, key: &Key, known: &Known) -> u64 {
        let held = match known {
            Known::Row(None) => 0,
            Known::Row(Some(row)) if key.is_device() => 2 * row.bytes().len() + DEVICE_BYTES,
            Known::Row(Some(row)) => row.bytes().len(),
            Known::Rows(rows) => rows.iter().map(|(_, row)| ENTRY_BYTES + row.len()).sum(),
        };
        (ENTRY_BYTES + held) as u64
    }
}

impl RowCache {
    /// An empty one of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let hasher = RandomState::new();
        let bytes_max = bytes_max / SHARDS;
        let shard = || Shard {
            known: Cache::with(
                bytes_max / USUAL_BYTES,
                bytes_max as u64,
                Bytes,
                hasher.clone(),
                DefaultLifecycle::default(),
            ),
            changes: 0,
            found: 0,
            read: 0,
        };
        Self { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), hasher }
    }

    /// Looks for a key; the first look of a question counts, and not the one that it takes again where it had to read.
    pub(super) fn look(&self, key: &Key, is_first: bool) -> Look {
        let mut shard = self.shard(key);
        match shard.known.get(key).cloned() {
            Some(known) => {
                shard.found += u64::from(is_first);
                Look::Known(known)
            }
            None => Look::Unknown(Seen(shard.changes)),
        }
    }

    /// Keeps what the database says of a key, unless something has changed since it was looked for.
    pub(super) fn keep(&self, key: &Key, known: Known, Seen(changes): Seen) {
        let mut shard = self.shard(key);
        shard.read += 1;
        if shard.changes == changes {
            shard.known.insert(key.clone(), known);
        }
    }

    /// Takes note of a committed change: the new row, or that it is gone, or that it is to be read anew.
    pub(super) fn change(&self, key: &Key, row: Option<Option<&[u8]>>) {
        if key.is_kept_in_memory() {
            let mut shard = self.shard(key);
            shard.changes += 1;
            match row {
                Some(row) => {
                    let row = Known::Row(row.map(|row| Arc::new(KeptRow::new(row))));
                    // Only what is known; what is looked at stays so.
                    let _ = shard.known.replace(key.clone(), row, true);
                }
                None => {
                    shard.known.remove(key);
                }
            }
        }
        if let Some(list) = key.devices_of_its_user() {
            let mut shard = self.shard(&list);
            shard.changes += 1;
            shard.known.remove(&list);
        }
    }

    /// What it holds, and how looks ended so far.
    pub(super) fn counts(&self) -> RowsKept {
        let mut all = RowsKept::default();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.bytes += shard.known.weight();
            all.found += shard.found;
            all.read += shard.read;
        }
        all
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let number = self.hasher.hash_one(key.bytes()) as usize % SHARDS;
        // Nothing that is done under the lock can panic half-way.
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_model::{DeviceId, User, UserId, UserIdRule};

    use super::*;

    fn key(number: u8) -> Key {
        Key::device(&DeviceId::from_bytes([number; 16]))
    }

    fn keep(cache: &RowCache, key: &Key, row: Option<&[u8]>) {
        let Look::Unknown(seen) = cache.look(key, true) else { panic!("{key} is known") };
        cache.keep(key, Known::Row(row.map(|row| Arc::new(KeptRow::new(row)))), seen);
    }

    /// The row, or that there is none; the outer `None` when nothing is known.
    fn known(cache: &RowCache, key: &Key) -> Option<Option<Vec<u8>>> {
        match cache.look(key, true) {
            Look::Known(Known::Row(row)) => Some(row.map(|row| row.bytes().to_vec())),
            Look::Known(Known::Rows(_)) => panic!("{key} is a list"),
            Look::Unknown(_) => None,
        }
    }

    #[test]
    fn what_was_read_is_known_until_it_changes() {
        let cache = RowCache::new(1 << 20);
        keep(&cache, &key(1), Some(b"one"));
        keep(&cache, &key(2), None);
        assert_eq!(known(&cache, &key(1)), Some(Some(b"one".to_vec())));
        assert_eq!(known(&cache, &key(2)), Some(None));
        cache.change(&key(1), Some(Some(b"two")));
        assert_eq!(known(&cache, &key(1)), Some(Some(b"two".to_vec())));
        cache.change(&key(1), Some(None));
        assert_eq!(known(&cache, &key(1)), Some(None));
        cache.change(&key(1), None);
        cache.change(&key(3), Some(Some(b"three")));
        assert_eq!(known(&cache, &key(1)), None, "it is to be read anew");
        assert_eq!(known(&cache, &key(3)), None, "nobody asked for it");
    }

    #[test]
    fn it_counts_what_it_holds_and_how_looks_end() {
        let cache = RowCache::new(1 << 20);
        assert_eq!(cache.counts(), RowsKept::default());
        keep(&cache, &key(1), Some(b"one"));
        keep(&cache, &key(2), None);
        let (one, two) = (ENTRY_BYTES + DEVICE_BYTES + 2 * 3, ENTRY_BYTES);
        assert_eq!(cache.counts(), RowsKept { bytes: (one + two) as u64, found: 0, read: 2 });
        cache.look(&key(1), true);
        cache.look(&key(1), false);
        cache.look(&key(2), true);
        cache.look(&key(3), true);
        cache.change(&key(1), None);
        assert_eq!(cache.counts(), RowsKept { bytes: two as u64, found: 2, read: 2 });
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_behind_it() {
        let cache = RowCache::new(1 << 20);
        let Look::Unknown(before) = cache.look(&key(1), true) else { panic!("known") };
        cache.change(&key(1), Some(Some(b"new")));
        cache.keep(&key(1), Known::Row(Some(Arc::new(KeptRow::new(b"old")))), before);
        assert_eq!(known(&cache, &key(1)), None);
    }

    #[test]
    fn a_device_that_comes_or_goes_changes_the_list_of_its_user() {
        let cache = RowCache::new(1 << 20);
        let user = User {
            realm: "retail".parse().expect("valid"),
            id: UserId::new("alice", UserIdRule::Exact).expect("valid"),
        };
        let list = Key::live_devices(&user);
        let Look::Unknown(seen) = cache.look(&list, true) else { panic!("known") };
        cache.keep(&list, Known::Rows(Arc::from([])), seen);
        assert!(matches!(cache.look(&list, true), Look::Known(Known::Rows(_))));
        let app = "bank".parse().expect("valid");
        cache.change(&Key::live_device(&user, &app, &DeviceId::from_bytes([1; 16])), Some(None));
        assert!(matches!(cache.look(&list, true), Look::Unknown(_)));
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_looked_at() {
        let entry_bytes = ENTRY_BYTES + DEVICE_BYTES + 2 * 8;
        let bytes_max = SHARDS * 20 * entry_bytes;
        let cache = RowCache::new(bytes_max);
        let number = |number: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            Key::device(&DeviceId::from_bytes(id))
        };
        for count in 0..10_000 {
            keep(&cache, &number(count + 1), Some(&[0; 8]));
            if known(&cache, &number(0)).is_none() {
                assert_eq!(count, 0, "it was looked at all the time");
                keep(&cache, &number(0), Some(&[0; 8]));
            }
        }
        let entries: usize = cache.shards.iter().map(|shard| shard.lock().expect("free").known.len()).sum();
        assert!(entries * entry_bytes <= bytes_max, "{entries} entries");
        assert!(entries >= SHARDS * 10, "{entries} entries");
    }

    #[test]
    fn a_row_that_does_not_fit_is_not_kept_and_not_told_as_it_was() {
        let cache = RowCache::new(SHARDS * 4_096);
        keep(&cache, &key(1), Some(b"small"));
        cache.change(&key(1), Some(Some(&[0; 8_192])));
        assert_eq!(known(&cache, &key(1)), None);
    }
}
