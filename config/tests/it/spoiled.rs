//! Configurations spoiled at random: there is always an answer, and every fault points into the text.

use proptest::prelude::*;
use tocsin_config::Config;

use crate::fixture::{SMALL, folder};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_fault_of_a_spoiled_text_points_into_it(
        start in 0..SMALL.len(),
        length in 0..40_usize,
        inserted in "[\\]\\[={}\"'#\\n.,a-z0-9 ä]{0,6}",
    ) {
        let mut text = SMALL.to_owned();
        text.replace_range(start..(start + length).min(SMALL.len()), &inserted);
        let folder = folder();
        if let Err(faults) = Config::load_str(&text, folder.path()) {
            prop_assert!(faults.iter().next().is_some());
            for fault in &faults {
                let line = fault.place.line.expect("a line");
                prop_assert!((1..=text.lines().count() + 1).contains(&line), "{}", fault);
                prop_assert!(!fault.message.is_empty());
            }
        }
    }

    #[test]
    fn a_broken_line_brings_no_other_fault_that_is_missing_something(
        line in 0..SMALL.lines().count(),
    ) {
        let text: Vec<String> = SMALL
            .lines()
            .enumerate()
            .map(|(index, found)| if index == line { found.replacen(['=', ']'], "", 1) } else { found.to_owned() })
            .collect();
        let folder = folder();
        let is_broken = text.join("\n") != SMALL.trim_end();
        match Config::load_str(&text.join("\n"), folder.path()) {
            Ok(_) => prop_assert!(!is_broken),
            Err(faults) => {
                let lines: Vec<_> = faults.iter().map(|fault| fault.place.line).collect();
                prop_assert_eq!(lines, [Some(line + 1)], "{}", faults);
            }
        }
    }
}
