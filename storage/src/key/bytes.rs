//! The bytes of a key, in place as long as they are few: a group of verbs makes and compares thousands of keys, and
//! none of them should cost an allocation or a way to other memory.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Bytes that are kept in place: the longest key of a transaction has 50.
const IN_PLACE_MAX: usize = 54;

/// Bytes that compare as slices do, wherever they are kept.
#[derive(Clone)]
pub(super) enum KeyBytes {
    InPlace { length: u8, bytes: [u8; IN_PLACE_MAX] },
    Apart(Vec<u8>),
}

impl KeyBytes {
    /// None.
    pub(super) const EMPTY: Self = Self::InPlace { length: 0, bytes: [0; IN_PLACE_MAX] };

    /// These.
    #[cfg(any(feature = "rocks", test))]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut copied = Self::EMPTY;
        copied.extend(bytes);
        copied
    }

    /// Appends bytes.
    pub(super) fn extend(&mut self, more: &[u8]) {
        match self {
            Self::InPlace { length, bytes } => {
                let (from, to) = (usize::from(*length), usize::from(*length) + more.len());
                match bytes.get_mut(from..to) {
                    Some(room) => {
                        room.copy_from_slice(more);
                        *length += more.len() as u8;
                    }
                    None => *self = Self::Apart([&bytes[..from], more].concat()),
                }
            }
            Self::Apart(bytes) => bytes.extend_from_slice(more),
        }
    }
}

impl Deref for KeyBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace { length, bytes } => &bytes[..usize::from(*length)],
            Self::Apart(bytes) => bytes,
        }
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for KeyBytes {}

impl Hash for KeyBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for KeyBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_and_in_the_same_order_wherever_they_are_kept() {
        let bytes: Vec<u8> = (0..120).collect();
        for length in 0..bytes.len() {
            let mut grown = KeyBytes::EMPTY;
            bytes[..length].chunks(7).for_each(|chunk| grown.extend(chunk));
            assert_eq!(*grown, bytes[..length]);
            assert!(grown == KeyBytes::of(&bytes[..length]) && grown < KeyBytes::of(&bytes[..=length]));
            assert_eq!(matches!(grown, KeyBytes::InPlace { .. }), length <= IN_PLACE_MAX);
        }
    }
}
