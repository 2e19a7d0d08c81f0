//! The `Retry-After` header (RFC 9110 section 10.2.3): seconds or an HTTP date, held within bounds. Pure.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tocsin_model::UnixMs;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3_600);
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: u64 = 86_400;

/// How long to wait, from one second to one hour; `None` without the header or when it says neither.
pub(super) fn retry_after(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => UnixMs::new(http_date_s(value)?.checked_mul(1_000)?).since(now).to_std(),
    };
    Some(wait.clamp(SHORTEST, LONGEST))
}

/// Unix seconds of a date in the form that senders must use, `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date_s(text: &str) -> Option<u64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let is_whole = words.next() == Some("GMT") && words.next().is_none() && clock.next().is_none();
    let is_possible = is_whole && (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24;
    if !is_possible || minute > 59 || second > 60 {
        return None;
    }
    Some((days_before(year, month)? + day - 1) * DAY_S + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970 to the first of a month (0 = January) of the Gregorian calendar.
fn days_before(year: u64, month: usize) -> Option<u64> {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days_to = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_days = leap_days_to(year - 1) - leap_days_to(1969) + u64::from(is_leap && month > 1);
    Some((year - 1970) * 365 + leap_days + BEFORE_MONTH.get(month)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wait_s(value: &str, now_s: u64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("ascii"));
        retry_after(&headers, UnixMs::new(now_s * 1_000)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_held_within_bounds() {
        assert_eq!(wait_s("30", 0), Some(30));
        assert_eq!(wait_s("0", 0), Some(1));
        assert_eq!(wait_s("999999999999", 0), Some(3_600));
    }

    #[test]
    fn a_date_is_taken_from_now() {
        let date_s = 784_111_777;
        assert_eq!(wait_s("Sun, 06 Nov 1994 08:49:37 GMT", date_s - 90), Some(90));
        assert_eq!(wait_s("Sun, 06 Nov 1994 08:49:37 GMT", date_s + 90), Some(1));
    }

    #[test]
    fn dates_are_right_over_leap_years() {
        assert_eq!(http_date_s("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_s("Tue, 29 Feb 2000 12:00:00 GMT"), Some(951_825_600));
        assert_eq!(http_date_s("Sat, 01 Mar 2025 00:00:00 GMT"), Some(1_740_787_200));
        assert_eq!(http_date_s("Thu, 31 Dec 2099 23:59:59 GMT"), Some(4_102_444_799));
    }

    #[test]
    fn nonsense_is_no_wait() {
        for value in ["soon", "-1", "", "Sun, 06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT", "1.5"] {
            assert_eq!(wait_s(value, 0), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), UnixMs::new(0)), None);
    }
}
