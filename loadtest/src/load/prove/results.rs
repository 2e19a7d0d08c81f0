//! Results of all targets, kept from one call to the next, and the table of them in `bench/RESULTS.md`. Pure but for
//! reading and writing the two files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::{FIGURES, Figure, Target};
use crate::LoadtestError;
use crate::load::report::{BareRates, Build, Machine, Report};

/// Between these lines of the page stands the table; nothing else there is touched.
const BEGIN: &str = "<!-- prove:begin -->";
const END: &str = "<!-- prove:end -->";

/// What was measured, by the names of targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub(super) targets: BTreeMap<String, Measured>,
}

/// What was measured of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) at: String,
    pub(super) build: Build,
    pub(super) machine: Machine,
    /// The disk's own sync, each time it was measured.
    pub(super) sync_p99_us: Vec<u64>,
    pub(super) bare: Option<BareRates>,
    /// Figures by their names, one of each run.
    pub(super) figures: BTreeMap<String, Vec<f64>>,
    /// Limits of the machine that were met.
    pub(super) limits: Vec<String>,
    /// How it was measured, beside what the target says.
    #[serde(default)]
    pub(super) notes: Vec<String>,
}

impl Measured {
    /// Takes where and with what from a report of the run.
    pub(super) fn seen(&mut self, report: &Report) {
        self.at = report.started_at.clone();
        self.build = report.build.clone();
        self.machine = report.machine.clone();
        self.sync_p99_us.extend(report.disk.as_ref().map(|disk| disk.sync_p99_us()));
        self.bare = report.bare.or(self.bare);
        for limit in &report.machine_limits {
            // Counts differ from run to run; one sentence of a kind is enough.
            let is_known = self.limits.iter().any(|known| kind(known) == kind(limit));
            if !is_known {
                self.limits.push(limit.clone());
            }
        }
    }

    /// One more run's number.
    pub(super) fn figure(&mut self, key: &str, value: f64) {
        self.figures.entry(key.to_owned()).or_default().push(value);
    }

    fn median(&self, key: &str) -> Option<f64> {
        self.figures.get(key).and_then(|values| median(values))
    }
}

fn kind(sentence: &str) -> String {
    sentence.chars().filter(|character| !character.is_ascii_digit()).take(40).collect()
}

/// The middle one; of an even number the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

impl Results {
    /// Those that were kept; none where there is no file yet.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn read(file: &Path) -> Result<Self, LoadtestError> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(file).map_err(LoadtestError::io("read the kept results"))?;
        serde_json::from_slice(&text)
            .map_err(|error| LoadtestError::Unexpected(format!("{}: {error}", file.display())))
    }

    /// Keeps them.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), LoadtestError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        fs::write(file, text + "\n").map_err(LoadtestError::io("keep the results"))
    }

    /// Those of `newer` in place of ours where both have a target.
    pub fn take(&mut self, newer: Self) {
        self.targets.extend(newer.targets);
    }

    /// Whether each target that was measured is met.
    pub fn are_met(&self) -> bool {
        self.rows().all(|(figure, _, median)| figure.bound.is_met(median))
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Figure, &Measured, f64)> {
        FIGURES.iter().filter_map(|figure| {
            let measured = self.targets.get(figure.target.name())?;
            Some((figure, measured, measured.median(figure.key)?))
        })
    }

    /// The table, for people and for the page.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| what | target | stretch | measured: median (lowest – highest, runs) | met? |\n| --- | --- | --- | --- | --- |\n",
        );
        for (figure, measured, median) in self.rows() {
            let (target, stretch) = bounds(figure);
            let values = measured.figures.get(figure.key).map_or(&[][..], Vec::as_slice);
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // A string cannot fail to be written to.
            let _ = writeln!(
                text,
                "| {} | {target} | {stretch} | {}{} ({} – {}, {}) | {} |",
                figure.what,
                number(median),
                figure.unit,
                number(lowest),
                number(highest),
                values.len(),
                figure.bound.verdict(median)
            );
        }
        text.push_str("\nMeasured where and beside what:\n\n");
        for target in Target::ALL {
            if let Some(measured) = self.targets.get(target.name()) {
                measured.tell(target.name(), &mut text);
            }
        }
        text
    }

    /// Puts the table into the page, between its two lines; a page without them gets them at its end.
    ///
    /// # Errors
    ///
    /// The page cannot be read or written.
    pub fn write_page(&self, page: &Path) -> Result<(), LoadtestError> {
        let before = if page.exists() {
            fs::read_to_string(page).map_err(LoadtestError::io("read the page of results"))?
        } else {
            String::new()
        };
        fs::write(page, replaced(&before, &self.table()))
            .map_err(LoadtestError::io("write the page of results"))
    }
}

impl Measured {
    fn tell(&self, name: &str, text: &mut String) {
        let syncs: Vec<f64> = self.sync_p99_us.iter().map(|sync| *sync as f64 / 1e3).collect();
        let Machine { cpu_model, cores, kernel, .. } = &self.machine;
        let Build { version, commit, profile } = &self.build;
        let _ = write!(
            text,
            "- `{name}`: {}, {version} {profile} at {commit}, {cores} × {cpu_model}, {kernel}; disk sync p99 {} ms",
            self.at,
            median(&syncs).map_or_else(|| "?".to_owned(), |sync| format!("{sync:.2}")),
        );
        if let Some(bare) = self.bare {
            let _ = write!(
                text,
                "; bare actix echo {:.0}/s, ECDSA P-256 sign {:.0}/s, verify {:.0}/s on one core",
                bare.actix_echo_per_s, bare.ecdsa_sign_per_s, bare.ecdsa_verify_per_s
            );
        }
        text.push('\n');
        for more in self.notes.iter().chain(&self.limits) {
            let _ = writeln!(text, "  - {more}");
        }
    }
}

fn bounds(figure: &Figure) -> (String, String) {
    use super::figures::Bound;
    let told = |sign: &str, value: f64| format!("{sign} {}{}", number(value), figure.unit);
    match figure.bound {
        Bound::AtLeast(target, stretch) => (told("≥", target), told("≥", stretch)),
        Bound::AtMost(target, stretch) => (told("≤", target), told("≤", stretch)),
        Bound::Told => ("–".to_owned(), "–".to_owned()),
    }
}

/// A number with as many digits as say something, thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{sign}{}", groups.join(","))
}

fn replaced(page: &str, table: &str) -> String {
    let section = format!("{BEGIN}\n{}\n{END}", table.trim_end());
    let found = page.find(BEGIN).and_then(|begin| Some((begin, begin + page[begin..].find(END)?)));
    match found {
        Some((begin, end)) => format!("{}{section}{}", &page[..begin], &page[end + END.len()..]),
        None if page.is_empty() => format!("# Results\n\n{section}\n"),
        None => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rates: &[f64]) -> Results {
        let mut measured = Measured { at: "now".to_owned(), sync_p99_us: vec![1_500], ..Measured::default() };
        rates.iter().for_each(|rate| measured.figure("flows_per_s", *rate));
        Results { targets: [("full-flow".to_owned(), measured)].into() }
    }

    #[test]
    fn the_median_decides_and_the_table_says_by_how_much() {
        let results = results(&[1_000.0, 4_400.0, 9_000.0]);
        assert!(results.are_met());
        let table = results.table();
        assert!(table.contains("| 4,400/s (1,000 – 9,000, 3) | **yes** (0.80 × the stretch) |"), "{table}");
        assert!(table.contains("disk sync p99 1.50 ms"), "{table}");
        assert!(!self::results(&[1_000.0, 3_999.0, 9_000.0]).are_met());
        assert_eq!(median(&[1.0, 3.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn only_its_own_part_of_the_page_is_written() {
        let page = format!("# R\n\na\n\n{BEGIN}\nold\n{END}\n\nb\n");
        let new = replaced(&page, "new\n");
        assert_eq!(new, format!("# R\n\na\n\n{BEGIN}\nnew\n{END}\n\nb\n"));
        assert_eq!(replaced(&new, "new\n"), new);
        assert!(replaced("# R\n", "new").starts_with("# R\n\n<!-- prove:begin -->\nnew\n"));
        assert!(replaced("", "new").starts_with("# Results\n"));
    }

    #[test]
    fn results_are_kept_from_call_to_call_and_newer_ones_win() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("proved.json");
        assert_eq!(Results::read(&file).unwrap(), Results::default());
        results(&[1.0]).write(&file).unwrap();
        let mut kept = Results::read(&file).unwrap();
        kept.take(results(&[2.0]));
        assert_eq!(kept, results(&[2.0]));
        let page = folder.path().join("RESULTS.md");
        kept.write_page(&page).unwrap();
        assert!(fs::read_to_string(page).unwrap().contains("full flow"));
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let written = [0.0, 1.154, 12.0, 290.4, 4_000.0, 1_234_567.8, -5_000.0].map(number);
        assert_eq!(written, ["0", "1.15", "12", "290", "4,000", "1,234,568", "-5,000"]);
    }
}
