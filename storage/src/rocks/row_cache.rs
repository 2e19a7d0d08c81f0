//! Single rows in memory, in the form in which they are stored: those that every start, challenge and answer look at.
//! RocksDB finds a row by a search in each buffer and table; here it is one look into a map, also for a row that is
//! known to be absent, and for the whole list of a user's devices.
//!
//! Invariants: bounded in bytes; what is kept is what is committed, and nobody is answered for a commit before what it
//! changed is changed here. The writer tells each change behind its write; a reader that looked into the database
//! before that is refused, since the shard has counted a change meanwhile.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::Key;
use crate::verb::rows::Row;

/// Parts with a lock of their own, so that threads seldom meet.
const SHARDS: usize = 64;

/// What an entry takes beside its bytes: key, counters and its place in the map.
const ENTRY_BYTES: usize = 192;

/// What is known of a key.
#[derive(Clone)]
pub(super) enum Known {
    /// Its row, or that there is none.
    Row(Option<Arc<[u8]>>),
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
    /// What one generation of a shard may take.
    generation_bytes_max: usize,
}

/// Entries in two generations: what is looked at is young, and when the young ones are too many, the old ones go.
#[derive(Default)]
struct Shard {
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
    young_bytes: usize,
    changes: u64,
}

impl RowCache {
    /// An empty one of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), generation_bytes_max: bytes_max / SHARDS / 2 }
    }

    /// Looks for a key.
    pub(super) fn look(&self, key: &Key) -> Look {
        let mut shard = self.shard(key);
        let known = match shard.young.get(key) {
            Some(known) => Some(known.clone()),
            None => shard.old.remove(key).inspect(|known| {
                shard.put(key.clone(), known.clone(), self.generation_bytes_max);
            }),
        };
        known.map_or_else(|| Look::Unknown(Seen(shard.changes)), Look::Known)
    }

    /// Keeps what the database says of a key, unless something has changed since it was looked for.
    pub(super) fn keep(&self, key: &Key, known: Known, Seen(changes): Seen) {
        let mut shard = self.shard(key);
        if shard.changes == changes {
            shard.put(key.clone(), known, self.generation_bytes_max);
        }
    }

    /// Takes note of a committed change: the new row, or that it is gone, or that it is to be read anew.
    pub(super) fn change(&self, key: &Key, row: Option<Option<&[u8]>>) {
        if key.is_kept_in_memory() {
            let mut shard = self.shard(key);
            shard.changes += 1;
            let was_known = shard.take(key);
            if let Some(row) = row.filter(|_| was_known) {
                shard.put(key.clone(), Known::Row(row.map(Arc::from)), self.generation_bytes_max);
            }
        }
        if let Some(list) = key.devices_of_its_user() {
            let mut shard = self.shard(&list);
            shard.changes += 1;
            shard.take(&list);
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let number = self.hasher.hash_one(key.bytes()) as usize % SHARDS;
        // Nothing that is done under the lock can panic half-way.
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn put(&mut self, key: Key, known: Known, bytes_max: usize) {
        let bytes = known.bytes();
        if bytes > bytes_max {
            return;
        }
        if self.young_bytes + bytes > bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let replaced = self.young.insert(key, known);
        self.young_bytes =
            (self.young_bytes + bytes).saturating_sub(replaced.map_or(0, |known| known.bytes()));
    }

    /// Whether it was there.
    fn take(&mut self, key: &Key) -> bool {
        let young = self.young.remove(key);
        self.young_bytes -= young.as_ref().map_or(0, Known::bytes);
        // What is young may stand among the old ones, too.
        let old = self.old.remove(key);
        young.or(old).is_some()
    }
}

impl Known {
    fn bytes(&self) -> usize {
        let held = match self {
            Self::Row(row) => row.as_ref().map_or(0, |row| row.len()),
            Self::Rows(rows) => rows.iter().map(|(_, row)| ENTRY_BYTES + row.len()).sum(),
        };
        ENTRY_BYTES + held
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
        let Look::Unknown(seen) = cache.look(key) else { panic!("{key} is known") };
        cache.keep(key, Known::Row(row.map(Arc::from)), seen);
    }

    /// The row, or that there is none; the outer `None` when nothing is known.
    fn known(cache: &RowCache, key: &Key) -> Option<Option<Vec<u8>>> {
        match cache.look(key) {
            Look::Known(Known::Row(row)) => Some(row.map(|row| row.to_vec())),
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
    fn what_was_read_before_a_change_is_not_kept_behind_it() {
        let cache = RowCache::new(1 << 20);
        let Look::Unknown(before) = cache.look(&key(1)) else { panic!("known") };
        cache.change(&key(1), Some(Some(b"new")));
        cache.keep(&key(1), Known::Row(Some(Arc::from(&b"old"[..]))), before);
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
        let Look::Unknown(seen) = cache.look(&list) else { panic!("known") };
        cache.keep(&list, Known::Rows(Arc::from([])), seen);
        assert!(matches!(cache.look(&list), Look::Known(Known::Rows(_))));
        let app = "bank".parse().expect("valid");
        cache.change(&Key::live_device(&user, &app, &DeviceId::from_bytes([1; 16])), Some(None));
        assert!(matches!(cache.look(&list), Look::Unknown(_)));
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_looked_at() {
        let bytes_max = SHARDS * 2 * 10 * (ENTRY_BYTES + 8);
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
        let entries: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().expect("free"))
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!(entries * (ENTRY_BYTES + 8) <= bytes_max, "{entries} entries");
        assert!(entries >= SHARDS * 5, "{entries} entries");
    }
}
