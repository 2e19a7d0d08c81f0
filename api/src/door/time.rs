//! Times as they stand on the wire: RFC 3339, UTC, milliseconds.

use jiff::Timestamp;
use jiff::tz::Offset;
use tocsin_model::UnixMs;

/// `2026-01-31T12:00:00.250Z`. A time after the year 9999 is written as the end of that year.
pub(crate) fn rfc3339(time: UnixMs) -> String {
    let milliseconds = i64::try_from(time.get()).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX);
    let utc = Offset::UTC.to_datetime(timestamp);
    let mut text = String::with_capacity(TEXT_BYTES);
    // Each view has several times; the formatting of the library, which knows many forms, takes several times as long.
    push_digits(&mut text, utc.year().unsigned_abs().into(), 4, '-');
    push_digits(&mut text, utc.month().unsigned_abs().into(), 2, '-');
    push_digits(&mut text, utc.day().unsigned_abs().into(), 2, 'T');
    push_digits(&mut text, utc.hour().unsigned_abs().into(), 2, ':');
    push_digits(&mut text, utc.minute().unsigned_abs().into(), 2, ':');
    push_digits(&mut text, utc.second().unsigned_abs().into(), 2, '.');
    push_digits(&mut text, utc.millisecond().unsigned_abs().into(), 3, 'Z');
    text
}

/// The length of every such text.
const TEXT_BYTES: usize = 24;

/// The last `count` digits of a number, and what ends them.
fn push_digits(text: &mut String, number: u32, count: u32, end: char) {
    for place in (0..count).rev() {
        let digit = u8::try_from(number / 10_u32.pow(place) % 10).unwrap_or(0);
        text.push(char::from(b'0' + digit));
    }
    text.push(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_exactly_three_digits() {
        assert_eq!(rfc3339(UnixMs::new(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(UnixMs::new(1_790_000_000_250)), "2026-09-21T14:13:20.250Z");
        assert!(rfc3339(UnixMs::new(u64::MAX)).starts_with("9999-12-"));
    }

    #[test]
    fn every_time_is_written_as_the_library_writes_it() {
        let steps = (0..200_000_u64).map(|step| step * 1_266_812_777);
        for time in steps.filter(|time| *time < 253_402_000_000_000) {
            let timestamp = Timestamp::from_millisecond(i64::try_from(time).expect("small")).expect("a time");
            assert_eq!(rfc3339(UnixMs::new(time)), format!("{timestamp:.3}"));
        }
    }
}
