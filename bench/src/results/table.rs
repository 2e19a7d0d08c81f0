//! The table, as text.

use std::fmt::Write as _;

use super::machine::Machine;
use super::rows::{MACHINE, ROWS, Row, Target, Unit};
use super::source::Measured;

/// The marks around what `make bench` writes; what is outside of them is others'.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// The table of ratios.
#[derive(Debug)]
pub struct Table(String);

impl Table {
    /// Of what is in the target folder.
    pub fn of(measured: &Measured, machine: &Machine) -> Self {
        let mut text = format!(
            "{}\n\n| what | ours | bare | ratio | target (stretch) | met |\n| --- | ---: | ---: | ---: | --- | --- |\n",
            machine.line()
        );
        for row in ROWS {
            push_line(&mut text, row, measured);
        }
        text.push_str("\nThe machine by itself, in the same run:\n\n| what | figure |\n| --- | ---: |\n");
        for (what, unit, source) in MACHINE {
            let figure = measured.read(*source).map_or_else(missing, |figure| unit.show(figure));
            push(&mut text, format_args!("| {what} | {figure} |\n"));
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The page with this table in place of the one between the marks; a page without them gets them at its end.
pub fn replace_section(page: &str, table: &Table) -> String {
    let section = format!("{BEGIN}\n{}{END}", table.0);
    match (page.find(BEGIN), page.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{section}{}", &page[..begin], &page[end + END.len()..])
        }
        _ if page.is_empty() => format!("{section}\n"),
        _ => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

fn push_line(text: &mut String, row: &Row, measured: &Measured) {
    let Row { what, bare_name, unit, ours, bare, target } = row;
    let (ours, bare) = (measured.read(*ours), measured.read(*bare));
    let show = |figure: Option<f64>| figure.map_or_else(missing, |figure| unit.show(figure));
    let ratio = ours.zip(bare).map(|(ours, bare)| target.ratio(ours, bare, *unit));
    let told = ratio.map_or_else(missing, |ratio| format!("{ratio:.2}"));
    push(
        text,
        format_args!(
            "| {what} | {} | {} ({bare_name}) | {told} | {} | {} |\n",
            show(ours),
            show(bare),
            target.words(),
            ratio.map_or("", |ratio| target.verdict(ratio))
        ),
    );
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string cannot fail");
}

fn missing() -> String {
    "not measured".to_owned()
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Time => format!("{:.2} µs", figure / 1e3),
            Self::Rate => format!("{}/s", thousands(1e9 / figure)),
            Self::Bytes => format!("{} B", thousands(figure)),
            Self::Microseconds => format!("{figure:.0} µs"),
        }
    }
}

impl Target {
    /// Costs are compared ours to bare, rates too: a rate is the inverse of a time.
    fn ratio(self, ours: f64, bare: f64, unit: Unit) -> f64 {
        if matches!(unit, Unit::Rate) { bare / ours } else { ours / bare }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(target, stretch) => format!("≤ {target} (≤ {stretch})"),
            Self::AtLeast(target, stretch) => format!("≥ {target} (≥ {stretch})"),
            Self::None => String::new(),
        }
    }

    fn verdict(self, ratio: f64) -> &'static str {
        let (target, stretch) = match self {
            Self::AtMost(target, stretch) => (ratio <= target, ratio <= stretch),
            Self::AtLeast(target, stretch) => (ratio >= target, ratio >= stretch),
            Self::None => return "",
        };
        match (target, stretch) {
            (_, true) => "stretch",
            (true, false) => "yes",
            (false, false) => "no",
        }
    }
}

/// A whole number with commas between its thousands.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table(text.to_owned())
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("# Results\n\nabove\n\n{BEGIN}\nold\n{END}\n\nbelow\n");
        let replaced = replace_section(&page, &table("new\n"));
        assert_eq!(replaced, format!("# Results\n\nabove\n\n{BEGIN}\nnew\n{END}\n\nbelow\n"));
        assert_eq!(replace_section(&replaced, &table("new\n")), replaced);
    }

    #[test]
    fn a_page_without_marks_keeps_what_it_has() {
        let page = replace_section("# Results\n", &table("new\n"));
        assert_eq!(page, format!("# Results\n\n{BEGIN}\nnew\n{END}\n"));
    }

    #[test]
    fn a_cost_is_met_below_and_a_rate_above() {
        let cost = Target::AtMost(1.5, 1.2);
        assert_eq!([1.1, 1.4, 1.6].map(|ratio| cost.verdict(ratio)), ["stretch", "yes", "no"]);
        let rate = Target::AtLeast(0.5, 0.75);
        assert_eq!([0.8, 0.6, 0.4].map(|ratio| rate.verdict(ratio)), ["stretch", "yes", "no"]);
        assert_eq!(Target::None.verdict(9.0), "");
    }

    #[test]
    fn a_rate_that_takes_longer_is_the_smaller_share() {
        assert_eq!(Target::AtLeast(0.5, 0.75).ratio(2_000.0, 1_000.0, Unit::Rate), 0.5);
        assert_eq!(Target::AtMost(1.5, 1.2).ratio(2_000.0, 1_000.0, Unit::Time), 2.0);
    }

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(Unit::Rate.show(25_000.0), "40,000/s");
        assert_eq!(Unit::Time.show(8_765.0), "8.77 µs");
        assert_eq!(Unit::Bytes.show(999.6), "1,000 B");
    }

    #[test]
    fn what_was_not_measured_is_said_to_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let measured = Measured::in_target(folder.path());
        let table = Table::of(&measured, &Machine::present());
        assert!(table.as_str().contains("| h2load |") || table.as_str().contains("not measured (h2load)"));
        assert!(!table.as_str().contains("yes"));
    }
}
