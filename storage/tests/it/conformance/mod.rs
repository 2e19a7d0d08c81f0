//! What every back end must do, in the words of the trait. Each check runs on a store of its own.

mod audit;
mod callback;
mod challenge;
mod change;
mod device;
mod enrollment;
mod expiry;
mod key;
mod mode;
mod otp;
mod promise;
mod standing;
mod transaction;
mod user;

use tocsin_storage::Store;

use crate::fixture::{RETENTION, TestClock};

/// A store under test; `keeper` is what must outlive it, such as its folder.
pub struct Bench {
    pub store: Box<dyn Store>,
    pub clock: TestClock,
    _keeper: Box<dyn std::any::Any>,
}

impl Bench {
    pub fn on_memory() -> Self {
        let clock = TestClock::new();
        let mut options = tocsin_storage::memory::MemoryOptions::new(clock.as_clock());
        options.retention = RETENTION;
        let store = Box::new(tocsin_storage::memory::MemoryStore::new(options));
        Self { store, clock, _keeper: Box::new(()) }
    }

    #[cfg(feature = "rocks")]
    pub fn on_rocks() -> Self {
        let clock = TestClock::new();
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            crate::rocks::open(&crate::rocks::storage(folder.path()), &clock).expect("a new database");
        Self { store: Box::new(store), clock, _keeper: Box::new(folder) }
    }

    #[cfg(feature = "rocks")]
    pub fn on_sealed_rocks() -> Self {
        use std::sync::Arc;
        use tocsin_storage::{MasterKey, NoObserver, Sealer, rocks::RocksStore};
        let clock = TestClock::new();
        let folder = tempfile::tempdir().expect("a folder");
        let sealer = Arc::new(Sealer::new(MasterKey::new(&[7; 32]), vec![]).expect("one key"));
        let storage = crate::rocks::storage(folder.path());
        let store = RocksStore::open_sealed(&storage, Some(sealer), clock.as_clock(), Arc::new(NoObserver));
        Self { store: Box::new(store.expect("a new database")), clock, _keeper: Box::new(folder) }
    }
}

/// Makes a test for each back end out of each check.
macro_rules! conformance {
    ($($module:ident: $($check:ident),* $(,)?;)*) => {
        mod on_memory {
            $($(
                #[tokio::test]
                async fn $check() {
                    super::$module::$check(super::Bench::on_memory()).await;
                }
            )*)*
        }

        #[cfg(feature = "rocks")]
        mod on_rocks {
            $($(
                #[tokio::test]
                async fn $check() {
                    super::$module::$check(super::Bench::on_rocks()).await;
                }
            )*)*
        }

        #[cfg(feature = "rocks")]
        mod on_sealed_rocks {
            $($(
                #[tokio::test]
                async fn $check() {
                    super::$module::$check(super::Bench::on_sealed_rocks()).await;
                }
            )*)*
        }
    };
}

conformance! {
    transaction:
        a_created_transaction_reads_back_whole,
        an_id_that_is_taken_is_not_overwritten,
        the_first_final_state_stands,
        an_end_that_is_not_final_changes_nothing,
        an_unknown_transaction_is_absent_to_every_verb,
        a_mark_is_stored_only_over_an_older_pending_record,
        a_mark_stores_deliveries_and_nothing_else,
        a_later_record_of_a_pending_transaction_stands_over_its_marks,
        who_loses_is_told_the_marks_while_the_transaction_is_pending,
        a_wrong_try_is_stored_once,
        the_last_wrong_try_ends_the_transaction,
        neither_an_end_nor_a_mark_gives_a_try_back,
        a_repeated_push_is_counted_once,
        a_repeated_push_keeps_its_promise,
        open_transactions_come_in_the_order_of_their_deadlines,
        a_final_transaction_is_not_open,
        a_record_that_a_phone_has_left_is_kept,
        an_amended_record_stands_only_over_an_older_pending_one_with_the_same_counters,
        a_fallback_is_told_once_however_often_its_record_is_amended,
        transactions_of_a_user_are_listed_newest_first,
        a_list_is_filtered_by_client_and_by_the_word_of_the_state,
        a_list_is_bounded_by_times,
        a_list_comes_in_pages_that_lead_on_to_its_end,
        a_list_that_fits_little_is_looked_through_in_bounded_steps;
    challenge:
        challenges_are_created_with_their_transaction,
        the_first_challenge_for_a_key_stands,
        no_challenge_is_kept_for_what_is_not_open,
        a_challenge_is_readable_until_the_deadline;
    otp:
        an_anonymous_transaction_is_found_by_its_password_until_the_deadline,
        the_first_claim_stands,
        of_two_claims_at_once_one_stands,
        what_is_claimed_is_its_users,
        what_is_not_anonymous_or_has_ended_is_not_claimed,
        a_phone_that_may_not_answer_claims_nothing,
        a_locked_user_claims_nothing,
        a_claim_names_the_phones_own_user,
        a_claim_leaves_one_row_of_audit;
    callback:
        an_outcome_owes_its_callback,
        the_last_wrong_try_owes_a_callback_too,
        nothing_is_owed_without_a_url_or_by_a_loser,
        a_delivered_callback_is_gone,
        a_failed_try_is_counted_once_and_due_later,
        a_dead_callback_is_kept_for_ever,
        a_redelivered_callback_is_owed_anew,
        an_owed_callback_is_brought_forward,
        lists_are_paged_newest_first,
        hosts_have_orders_of_their_own,
        clients_have_orders_of_their_own;
    promise:
        the_same_key_and_fingerprint_is_the_same_transaction,
        the_same_key_with_another_fingerprint_is_a_mismatch,
        the_key_of_an_enrolment_is_found_without_another_try,
        keys_are_apart_by_client,
        a_key_stands_for_one_call_of_whatever_sort,
        a_key_is_kept_until_ten_minutes_after_the_deadline;
    enrollment:
        an_enrolled_phone_is_found_by_every_way,
        the_enrolment_decides_user_and_app,
        wrong_used_cancelled_and_expired_codes_look_alike,
        an_identical_retry_gets_the_same_device_for_five_minutes,
        a_device_key_is_registered_once,
        refusals_come_in_the_order_of_the_interface,
        mode_single_is_judged_at_the_opening_and_at_the_enrolment,
        a_completed_enrolment_cannot_be_cancelled;
    device:
        a_revoked_device_frees_its_place_but_not_its_key,
        a_revoked_device_is_listed_until_its_retention_ends,
        devices_are_listed_newest_first,
        an_answer_marks_its_device_as_used,
        many_devices_are_read_in_the_order_of_their_ids,
        a_dead_address_makes_its_device_unreachable,
        an_address_registered_after_its_death_is_left_alone,
        a_suspension_outlives_a_dead_address,
        suspicion_is_counted_and_forgotten,
        the_first_meta_value_stands,
        the_last_token_of_a_provider_is_kept_until_it_expires;
    audit:
        every_change_leaves_its_row,
        what_loses_or_is_refused_leaves_none,
        rows_are_numbered_and_chained,
        a_list_begins_with_the_newest_and_goes_on_behind_its_cursor,
        a_list_is_narrowed_by_user_transaction_type_kind_and_time,
        a_list_says_where_to_go_on_though_it_found_nothing,
        a_cut_takes_a_whole_prefix_and_says_so,
        the_time_of_the_trail_never_runs_back;
    change:
        a_portal_renames_suspends_and_resumes,
        a_suspended_device_whose_address_died_comes_back_unreachable,
        what_is_not_in_use_is_changed_by_nobody_but_its_portal,
        a_portal_cannot_confirm_by_resuming,
        a_signed_change_must_be_above_the_last_one,
        a_new_address_takes_the_place_of_the_old_one,
        the_newest_enrolment_of_a_user_and_app_takes_an_address_over,
        a_phone_that_waits_for_its_number_takes_no_address;
    mode:
        mode_override_revokes_the_phone_before,
        mode_override_with_a_number_revokes_only_once_it_was_posted,
        mode_multiple_keeps_every_phone,
        the_mode_is_judged_by_the_rules_of_the_moment,
        a_phone_that_waits_for_its_number_takes_the_place_of_mode_single,
        a_live_phone_behind_one_that_was_never_confirmed_keeps_its_place,
        three_wrong_numbers_end_the_enrolment_and_its_device_is_gone,
        a_device_that_is_not_confirmed_in_time_is_gone_by_itself,
        a_right_number_counts_until_the_last_moment_and_again,
        a_waiting_phone_gets_the_same_answer_again_while_it_waits,
        cancelling_and_removing_end_what_waits_for_its_number,
        an_accepted_transaction_authorises_once_and_for_ten_minutes,
        only_an_accepted_transaction_of_the_same_user_and_client_authorises;
    standing:
        ignored_and_refused_pushes_are_counted_with_their_end,
        a_push_that_never_arrived_was_ignored_by_nobody,
        the_miss_at_the_limit_locks_its_user_in_its_own_batch,
        a_last_wrong_try_is_no_miss_but_ends_like_any_other,
        misses_are_gone_after_a_day,
        a_report_is_told_and_locks_where_it_is_to,
        an_end_that_lost_does_nothing_to_its_user,
        removed_locks_are_told_and_begin_a_new_row,
        what_is_replaced_is_cancelled_in_the_batch_of_the_new_one,
        what_is_replaced_locks_nobody,
        nothing_that_has_ended_or_is_of_another_user_is_replaced,
        a_start_that_is_not_stored_replaces_nothing,
        only_pushes_are_missed;
    user:
        a_profile_is_kept_replaced_and_told_without_its_values,
        an_erasure_ends_and_removes_all_there_is_in_one_batch,
        revoked_and_waiting_devices_are_erased_too,
        a_code_from_before_an_erasure_makes_no_device,
        an_erasure_leaves_the_pseudonym_and_a_sound_chain,
        who_comes_back_is_somebody_else_to_the_trail,
        what_comes_late_about_somebody_erased_introduces_nobody,
        a_start_and_an_erasure_at_once_leave_no_name,
        locks_are_erased_and_a_mark_of_the_erasure_goes_by_itself;
    key:
        wrong_pins_in_a_row_revoke_the_device_at_the_limit,
        wrong_pins_at_the_same_moment_are_all_counted,
        a_limit_of_zero_is_none,
        a_right_pin_forgets_the_wrong_ones_unless_it_comes_too_late,
        changes_come_in_the_order_of_their_times,
        the_present_pin_entitles_to_a_change_and_is_forgiven,
        an_authorization_that_is_sent_once_more_gives_no_try_back,
        an_accepted_transaction_entitles_once_and_only_without_a_pin,
        an_authorization_stands_for_ten_minutes_and_for_its_own,
        a_key_can_be_removed_but_not_device_and_pin,
        a_revoked_device_changes_nothing_any_more;
    expiry:
        a_final_transaction_is_readable_until_its_retention_ends,
        a_pending_transaction_outlives_any_time,
        what_a_key_made_is_readable_as_long_as_the_key,
        an_enrolment_is_readable_until_its_retention_ends;
}
