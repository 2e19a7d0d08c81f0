//! Which of the deployment's keys signs when: pure.
//!
//! ```text
//! made ──overlap──► signs challenges ──rotation: after the overlap──► retired ──400 days──► gone
//!   └── compromised, at any time: gone at once; what comes next signs at once
//! ```
//!
//! Every key that is not gone signs the published set. Invariants: there is always a key that is not retired;
//! at most one key is coming; the present key is not retired before the next one signs.

use tocsin_model::{DurationMs, KeyId, UnixMs};

use super::{ServerKey, ServerKeyError};

/// Most keys held at once: at a rotation a month, those that 400 days keep. The set fits into 8 KiB with them.
const KEYS_MAX: usize = 16;

/// The deployment's keys, never empty.
#[derive(Debug)]
pub struct KeyRing(pub(super) Vec<ServerKey>);

/// Why keys were not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotationRefused {
    /// The last rotation has not come to its end.
    #[error("a rotation is under way: the next key signs from {} ms after 1970 on", .0.get())]
    UnderWay(UnixMs),
    /// There is no key of this name.
    #[error("there is no key of this name")]
    UnknownKey,
    /// So many keys are held already.
    #[error("{KEYS_MAX} keys are held; wait until retired ones have come to their end")]
    TooMany,
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] ServerKeyError),
}

impl KeyRing {
    /// The key that signs challenges now: of those that may, the newest.
    pub fn signing(&self, now: UnixMs) -> &ServerKey {
        let may = |key: &&ServerKey| key.not_before <= now && key.is_live(now);
        let newest = self.0.iter().filter(may).max_by_key(|key| key.not_before);
        // Only a clock that went back leaves none; then the first to come signs.
        newest
            .or_else(|| self.0.iter().filter(|key| key.is_live(now)).min_by_key(|key| key.not_before))
            .unwrap_or(&self.0[0])
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &ServerKey> {
        self.0.iter()
    }

    pub(super) fn named<'r>(&'r self, kids: &'r [KeyId]) -> impl Iterator<Item = &'r ServerKey> {
        self.0.iter().filter(|key| kids.contains(&key.kid))
    }

    pub(super) fn for_enrolment(&self, now: UnixMs) -> impl Iterator<Item = &ServerKey> {
        self.0.iter().filter(move |key| key.is_live(now))
    }

    /// The keys that sign the published set and stand in it.
    pub(super) fn published(&self, now: UnixMs, retired: DurationMs) -> impl Iterator<Item = &ServerKey> {
        self.0.iter().filter(move |key| key.is_held(now, retired))
    }

    /// Makes a key that signs after the overlap, when the present one retires; drops what has come to its end.
    pub fn rotated(
        mut self,
        now: UnixMs,
        overlap: DurationMs,
        retired: DurationMs,
    ) -> Result<Self, RotationRefused> {
        if let Some(next) = self.0.iter().find(|key| key.not_before > now) {
            return Err(RotationRefused::UnderWay(next.not_before));
        }
        self.0.retain(|key| key.is_held(now, retired));
        if self.0.len() >= KEYS_MAX {
            return Err(RotationRefused::TooMany);
        }
        let signs_from = now.plus(overlap);
        for key in self.0.iter_mut().filter(|key| key.retired_at.is_none()) {
            key.retired_at = Some(signs_from);
        }
        self.0.push(ServerKey::generate(signs_from)?);
        Ok(self)
    }

    /// Drops a key at once, the one that signs when none is named. A key that was to come comes at once, else a
    /// new one is made.
    pub fn without_compromised(mut self, kid: Option<KeyId>, now: UnixMs) -> Result<Self, RotationRefused> {
        let kid = kid.unwrap_or(self.signing(now).kid);
        let position = self.0.iter().position(|key| key.kid == kid).ok_or(RotationRefused::UnknownKey)?;
        self.0.remove(position);
        if self.0.iter().any(|key| key.not_before <= now && key.is_live(now)) {
            // The one that signs is another: it is kept for its time, and so is one that is to come. When the one to
            // come was dropped, nothing takes the place of the present one any more, so it does not retire.
            if self.0.iter().all(|key| key.retired_at.is_some()) {
                let newest = self.0.iter_mut().max_by_key(|key| key.not_before);
                newest.into_iter().for_each(|key| key.retired_at = None);
            }
            return Ok(self);
        }
        match self.0.iter_mut().find(|key| key.not_before > now) {
            Some(next) => next.not_before = now,
            None => self.0.push(ServerKey::generate(now)?),
        }
        Ok(self)
    }
}

impl ServerKey {
    fn is_live(&self, now: UnixMs) -> bool {
        self.retired_at.is_none_or(|at| now < at)
    }

    fn is_held(&self, now: UnixMs, retired: DurationMs) -> bool {
        self.retired_at.is_none_or(|at| now < at.plus(retired))
    }
}
