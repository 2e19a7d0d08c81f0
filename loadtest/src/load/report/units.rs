//! Numbers as people read them.

/// A count with commas between thousands.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency with three digits: `870 µs`, `1.25 ms`, `12.5 s`.
pub(super) fn latency(latency_us: f64) -> String {
    match latency_us {
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// A rate or another number that has no unit of its own.
pub(super) fn number(number: f64) -> String {
    match number.abs() {
        size if size >= 1_000.0 && number > 0.0 => count(number.round() as u64),
        size if size >= 100.0 => format!("{number:.0}"),
        _ => format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

/// Memory.
pub(super) fn bytes(bytes: u64) -> String {
    format!("{} MiB", three_digits(bytes as f64 / 1_048_576.0))
}

/// A number beside an axis, short: `2k`, `1.5M`.
pub(super) fn tick(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{}M", plain(number / 1e6)),
        size if size >= 1e4 => format!("{}k", plain(number / 1e3)),
        _ => plain(number),
    }
}

fn plain(number: f64) -> String {
    format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn three_digits(number: f64) -> String {
    match number {
        n if n >= 99.95 => format!("{n:.0}"),
        n if n >= 9.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_the_unit_that_fits() {
        let texts = [1.0, 999.0, 1_000.0, 12_345.0, 999_499.0, 1_000_000.0, 61_500_000.0].map(latency);
        assert_eq!(texts, ["1 µs", "999 µs", "1.00 ms", "12.3 ms", "999 ms", "1.00 s", "61.5 s"]);
    }

    #[test]
    fn counts_have_commas_and_ticks_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.5, 2_500.0, 20_000.0, 1.5e6].map(tick), ["0", "0.5", "2500", "20k", "1.5M"]);
        assert_eq!([0.0, 0.25, 99.5, 4_000.4].map(number), ["0", "0.25", "99.5", "4,000"]);
    }
}
