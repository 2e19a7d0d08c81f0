//! Times as they stand on the wire: RFC 3339, UTC, milliseconds.

use jiff::Timestamp;
use tocsin_model::UnixMs;

/// `2026-01-31T12:00:00.250Z`. A time after the year 9999 is written as the end of that year.
pub(crate) fn rfc3339(time: UnixMs) -> String {
    let milliseconds = i64::try_from(time.get()).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.3}")
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
}
