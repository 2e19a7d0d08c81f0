//! The end of a certificate's validity, the one thing in it that the TLS library does not tell.
//!
//! No parser: in a certificate (RFC 5280, section 4.1) the validity follows the issuer at once, and where the issuer
//! stands is known from the library that took the certificate apart.

use rustls_pki_types::CertificateDer;
use tocsin_model::UnixMs;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `issuer` is a part of `certificate`.
pub(crate) fn valid_until(certificate: &CertificateDer<'_>, issuer: &[u8]) -> Option<UnixMs> {
    let behind = (issuer.as_ptr() as usize).checked_sub(certificate.as_ptr() as usize)? + issuer.len();
    let (tag, validity, _) = element(certificate.get(behind..)?)?;
    let (_, _, after_begin) = element(validity)?;
    let (time_tag, text, _) = element(after_begin)?;
    if tag != SEQUENCE {
        return None;
    }
    time(time_tag, std::str::from_utf8(text).ok()?)
}

/// Tag, content and rest; only short lengths, as times and their pair have them.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    if length >= 0x80 {
        return None;
    }
    Some((tag, bytes.get(2..2 + length)?, bytes.get(2 + length..)?))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; two digits mean 1950 to 2049.
fn time(tag: u8, text: &str) -> Option<UnixMs> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            let (year, rest) = digits.split_at(2);
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
        }
        GENERALIZED_TIME if digits.len() == 14 => {
            let (year, rest) = digits.split_at(4);
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |index: usize| rest.get(index * 2..index * 2 + 2)?.parse::<u64>().ok();
    let (month, day) = (number(0)?, number(1)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = (number(2)? * 60 + number(3)?) * 60 + number(4)?;
    let days = days_since_epoch(year, month, day)?;
    Some(UnixMs::new((days * 86_400 + seconds) * 1_000))
}

/// Days from 1970-01-01 in the Gregorian calendar, for years that begin their count in March.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "000229120000Z", 951_825_600),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "20260301000001Z", 1_772_323_201),
        ] {
            assert_eq!(time(tag, text), Some(UnixMs::new(seconds * 1_000)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for (tag, text) in [
            (UTC_TIME, ""),
            (UTC_TIME, "20500101000000Z"),
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "701301000000Z"),
            (UTC_TIME, "7001010000+0Z"),
            (GENERALIZED_TIME, "700101000000Z"),
            (0x02, "700101000000Z"),
        ] {
            assert_eq!(time(tag, text), None, "{text}");
        }
    }

    #[test]
    fn the_end_is_found_behind_the_issuer_and_nowhere_else() {
        let mut bytes = vec![0x30, 0x02, 0x01, 0x02];
        bytes.extend([SEQUENCE, 30]);
        for text in [b"260101000000Z", b"270101000000Z"] {
            bytes.extend([UTC_TIME, 13]);
            bytes.extend(text);
        }
        let certificate = CertificateDer::from(bytes);
        let end = valid_until(&certificate, &certificate[2..4]);
        assert_eq!(end, Some(UnixMs::new(1_798_761_600_000)));
        assert_eq!(valid_until(&certificate, &certificate[..2]), None);
        let cut = CertificateDer::from(certificate[..20].to_vec());
        assert_eq!(valid_until(&cut, &cut[2..4]), None);
    }
}
