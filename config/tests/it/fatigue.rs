//! What keeps users from being worn out: what is meant where nothing is said, and what contradicts itself.

use std::num::NonZeroU32;

use tocsin_config::{AuthenticationType, Config, Ladder, PendingPush};
use tocsin_model::{DurationMs, ReportLock};

use crate::fixture::{assert_only_fault, faults, load, warnings};

fn only_type(config: &Config) -> &AuthenticationType {
    config.types.values().next().expect("a type")
}

fn ladder(keys: &str) -> Ladder {
    load(&format!("[realms.retail]\n{keys}")).config.realms.values().next().expect("a realm").ladder
}

#[test]
fn a_login_supersedes_and_other_types_have_many_unless_they_say_otherwise() {
    for (keys, expected) in [
        ("", PendingPush::Many),
        ("purpose = \"login\"", PendingPush::Supersede),
        ("purpose = \"login\"\npending_push = \"many\"", PendingPush::Many),
        ("pending_push = \"reject\"", PendingPush::Reject),
        ("pending_push = \"supersede\"", PendingPush::Supersede),
    ] {
        let config = load(&format!("[types.any]\n{keys}\n")).config;
        assert_eq!(only_type(&config).pending_push, expected, "{keys}");
    }
    assert_only_fault("[types.any]\npending_push = \"queue\"\n", 2, "types.any.pending_push", "supersede");
}

#[test]
fn a_login_that_rejects_is_warned_of() {
    let warned = |keys: &str| {
        let found = warnings(load(&format!("[types.any]\n{keys}\n")));
        found.into_iter().map(|warning| (warning.key, warning.message)).collect::<Vec<_>>()
    };
    let [(key, message)] = &warned("purpose = \"login\"\npending_push = \"reject\"")[..] else {
        panic!("one warning")
    };
    assert_eq!(key, "types.any.pending_push");
    assert!(message.contains("keep its user out"), "{message}");
    for silent in
        ["purpose = \"login\"", "pending_push = \"reject\"", "purpose = \"login\"\npending_push = \"many\""]
    {
        assert_eq!(warned(silent), [], "{silent}");
    }
}

#[test]
fn gap_and_report_lock_are_off_unless_they_are_said() {
    let config = load("[types.any]\n").config;
    assert_eq!((only_type(&config).push_gap.get(), only_type(&config).report_lock), (0, None));
    for (seconds, lock) in
        [(0, ReportLock::UntilRemoved), (60, ReportLock::For(DurationMs::from_seconds(60)))]
    {
        let text = format!("[types.any]\npush_gap_s = 3600\nreport_lock_s = {seconds}\n");
        let config = load(&text).config;
        let kind = only_type(&config);
        assert_eq!((kind.push_gap, kind.report_lock), (DurationMs::from_seconds(3_600), Some(lock)));
    }
    for (keys, key, range) in [
        ("push_gap_s = 3601", "push_gap_s", "0 to 3600"),
        ("push_gap_s = -1", "push_gap_s", "0 to 3600"),
        ("report_lock_s = 31536001", "report_lock_s", "0 to 31536000"),
    ] {
        assert_only_fault(&format!("[types.any]\n{keys}\n"), 2, &format!("types.any.{key}"), range);
    }
}

#[test]
fn no_step_of_the_ladder_is_on_unless_it_is_said() {
    let off = ladder("");
    assert_eq!((off.number_match_after, off.other_method_after, off.block_after), (None, None, None));
    assert_eq!(off.block, DurationMs::from_seconds(900));
    let zero = "ladder_number_match_after = 0\nladder_other_method_after = 0\nladder_block_after = 0\n";
    assert_eq!(ladder(zero), off);
    let all = ladder(
        "ladder_number_match_after = 1\nladder_other_method_after = 2\nladder_block_after = 100\nladder_block_s = 1\n",
    );
    let steps = [all.number_match_after, all.other_method_after, all.block_after];
    assert_eq!(steps.map(|step| step.map(NonZeroU32::get)), [Some(1), Some(2), Some(100)]);
    assert_eq!(all.block, DurationMs::from_seconds(1));
    for (keys, key, range) in [
        ("ladder_number_match_after = 101", "ladder_number_match_after", "0 to 100"),
        ("ladder_block_s = 0", "ladder_block_s", "1 to 86400"),
        ("ladder_block_s = 86401", "ladder_block_s", "1 to 86400"),
    ] {
        assert_only_fault(&format!("[realms.retail]\n{keys}\n"), 2, &format!("realms.retail.{key}"), range);
    }
}

#[test]
fn no_step_of_the_ladder_comes_before_a_milder_one() {
    // Equal steps are taken together, and one that is left out holds up none.
    ladder("ladder_number_match_after = 3\nladder_other_method_after = 3\nladder_block_after = 3\n");
    ladder("ladder_number_match_after = 3\nladder_other_method_after = 0\nladder_block_after = 4\n");
    for (keys, line, key) in [
        ("ladder_number_match_after = 3\nladder_other_method_after = 2", 3, "ladder_other_method_after"),
        ("ladder_other_method_after = 3\nladder_block_after = 2", 3, "ladder_block_after"),
        ("ladder_block_after = 2\nladder_number_match_after = 3", 2, "ladder_block_after"),
    ] {
        let text = format!("[realms.retail]\n{keys}\n");
        assert_only_fault(&text, line, &format!("realms.retail.{key}"), "milder step");
    }
    let both = "[realms.retail]\nladder_number_match_after = 3\nladder_other_method_after = 2\nladder_block_after = 1\n";
    assert_eq!(faults(both).len(), 2);
}

#[test]
fn what_spares_users_of_pushes_is_not_for_types_that_send_codes() {
    for key in ["pending_push = \"many\"", "push_gap_s = 1"] {
        let name = key.split(' ').next().expect("a name");
        let text = format!("[types.code]\nmethod = \"sms\"\nattempts_max = 3\n{key}\n");
        assert_only_fault(&text, 4, &format!("types.code.{name}"), "not valid for method");
    }
}
