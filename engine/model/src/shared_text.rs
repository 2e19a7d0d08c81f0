//! Texts that many values hold alike, such as the names of a configuration: read again and again, they are kept once.

use std::cell::RefCell;
use std::sync::Arc;

/// Places of each thread; two texts that meet in one take turns.
const PLACES: usize = 64;

thread_local! {
    static KNOWN: RefCell<[Option<Arc<str>>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

/// The text, in the memory of an equal one that this thread was asked for lately, or in its own where `is_sound` says
/// that it may be.
pub(crate) fn share(text: &str, is_sound: impl FnOnce(&str) -> bool) -> Option<Arc<str>> {
    KNOWN.with_borrow_mut(|known| {
        let place = &mut known[place_of(text)];
        if let Some(known) = place.as_ref().filter(|known| &***known == text) {
            return Some(Arc::clone(known));
        }
        is_sound(text).then(|| Arc::clone(place.insert(Arc::from(text))))
    })
}

/// Names differ in length and in their first and last letters, mostly.
fn place_of(text: &str) -> usize {
    let letter = |letter: Option<&u8>| usize::from(letter.copied().unwrap_or_default());
    let bytes = text.as_bytes();
    (bytes.len() * 7 + letter(bytes.first()) * 3 + letter(bytes.last()) * 5) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(text: &str) -> Arc<str> {
        share(text, |_| true).expect("any is sound")
    }

    #[test]
    fn equal_texts_share_their_memory_and_others_do_not() {
        let (first, second, other) = (shared("apns-main"), shared("apns-main"), shared("fcm-main"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((&*first, &*other), ("apns-main", "fcm-main"));
    }

    #[test]
    fn texts_that_meet_in_a_place_stay_themselves() {
        let (first, second) = ("a-b", "a+b");
        assert_eq!(place_of(first), place_of(second));
        for text in [first, second, first, ""] {
            assert_eq!(&*shared(text), text);
        }
    }

    #[test]
    fn what_is_not_sound_is_not_kept() {
        assert_eq!(share("not a name", |_| false), None);
        assert_eq!(share("not a name", |_| false), None);
    }
}
