//! From a key and a transaction to the digits of its code.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use tocsin_model::{CodeDigits, OneTimeCode, TransactionId};

/// Keeps codes apart from whatever else may be derived.
const PURPOSE: &[u8] = b"tocsin/v1/code";

/// The code of a transaction. The number of digits is part of what is hashed, so that a shorter code is no part of a
/// longer one.
pub(super) fn derive(key: &hmac::Key, transaction: TransactionId, digits: CodeDigits) -> OneTimeCode {
    let mut context = hmac::Context::with_key(key);
    context.update(transaction.as_bytes());
    context.update(PURPOSE);
    context.update(&[digits.get()]);
    let tag = context.sign();
    let mut number = [0; 16];
    number.copy_from_slice(&tag.as_ref()[..16]);
    // 128 bits are so many more than ten digits that the remainder is uniform within one part in 10^28.
    let number = u128::from_be_bytes(number) % 10_u128.pow(digits.get().into());
    OneTimeCode::new(format!("{number:0width$}", width = usize::from(digits.get())))
}

/// Whether `tried` is the code, in a time that does not depend on where they differ.
pub(crate) fn is_right(code: &OneTimeCode, tried: &OneTimeCode) -> bool {
    verify_slices_are_equal(code.expose().as_bytes(), tried.expose().as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::{Partition, UnixMs};

    fn transaction(number: u32) -> TransactionId {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&number.to_be_bytes());
        random[12..].copy_from_slice(&number.to_be_bytes());
        TransactionId::compose(UnixMs::new(1_700_000_000_000), Partition::default(), random)
    }

    fn key(byte: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])
    }

    fn digits(count: u8) -> CodeDigits {
        CodeDigits::new(count).expect("allowed")
    }

    fn code(key_byte: u8, number: u32, count: u8) -> String {
        derive(&key(key_byte), transaction(number), digits(count)).expose().to_owned()
    }

    #[test]
    fn a_code_depends_on_all_it_is_derived_from_and_on_nothing_else() {
        let first = code(7, 1, 10);
        assert_eq!(first, code(7, 1, 10));
        assert_ne!(first, code(8, 1, 10));
        assert_ne!(first, code(7, 2, 10));
    }

    /// Pinned: a restart into another version must give the same code.
    #[test]
    fn the_derivation_never_changes() {
        assert_eq!([code(7, 1, 4), code(7, 1, 6), code(7, 1, 10)], PINNED);
    }

    const PINNED: [&str; 3] = ["5259", "315870", "5977494876"];

    #[test]
    fn a_code_has_exactly_its_digits_and_keeps_zeros_in_front() {
        let mut zeros = 0;
        for number in 0..2_000 {
            for count in 4..=10 {
                let code = code(7, number, count);
                assert!(code.len() == usize::from(count) && code.bytes().all(|byte| byte.is_ascii_digit()));
                zeros += usize::from(code.starts_with('0'));
            }
        }
        assert!(zeros > 1_000, "{zeros} of 14,000 begin with a zero");
    }

    #[test]
    fn a_shorter_code_is_no_part_of_a_longer_one() {
        let ends = (0..1_000).filter(|number| code(7, *number, 8).ends_with(&code(7, *number, 6))).count();
        assert!(ends <= 3, "{ends} of 1,000");
    }

    /// A chi-square test over 100,000 codes: each place of the code has ten digits that come equally often, and so have
    /// the hundred buckets of its value. The bounds are passed by a fair source but once in some 10^6 runs; the codes
    /// are fixed, so that this one always or never passes.
    #[test]
    fn codes_are_uniform() {
        const CODES: usize = 100_000;
        let codes: Vec<String> = (0..CODES as u32).map(|number| code(7, number, 6)).collect();
        for place in 0..6 {
            let mut counts = [0_usize; 10];
            codes.iter().for_each(|code| counts[usize::from(code.as_bytes()[place] - b'0')] += 1);
            assert!(chi_square(&counts) < 45.0, "place {place}: {counts:?}");
        }
        let mut counts = [0_usize; 100];
        codes.iter().for_each(|code| counts[code.parse::<usize>().expect("a number") / 10_000] += 1);
        assert!(chi_square(&counts) < 180.0, "{counts:?}");
        let mut sorted = codes;
        sorted.sort_unstable();
        sorted.dedup();
        // Of 10^6 values 100,000 draws meet 95,163 different ones on average.
        assert!((94_500..95_800).contains(&sorted.len()), "{}", sorted.len());
    }

    fn chi_square(counts: &[usize]) -> f64 {
        let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn only_the_same_digits_are_right() {
        let one = |text: &str| OneTimeCode::new(text.to_owned());
        assert!(is_right(&one("012345"), &one("012345")));
        for wrong in ["012346", "12345", "0123456", "", "012345 ", "０１２３４５"] {
            assert!(!is_right(&one("012345"), &one(wrong)), "{wrong}");
        }
    }
}
