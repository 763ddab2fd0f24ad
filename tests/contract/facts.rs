//! What trueup relies on, one test a fact, named after it: each asks a control plane that holds `inc-441`, says so when the fact does not hold, and
//! gives what it saw, which is recorded.

mod argo;
mod guards;
mod ignoring;
mod policies;
mod rights;
mod syncs;
mod world;

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
pub use world::World;

type Seen<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Value>> + Send + 'a>>;

/// Its name, and how it is looked at. Later facts find the world as earlier ones left it; no room needs what another one left.
pub struct Fact {
    pub room: &'static str,
    pub name: &'static str,
    pub look: fn(&World) -> Seen<'_>,
}

/// Lists facts under the names of the functions that look at them.
macro_rules! facts {
    ($(#[$doc:meta])* $list:ident: $($room:ident::$name:ident),* $(,)?) => {
        $(#[$doc])*
        pub const $list: &[Fact] = &[$(Fact {
            room: stringify!($room),
            name: stringify!($name),
            look: |world| Box::pin($room::$name(world)),
        }),*];
    };
}

facts![
    /// Those that hold on the lab as well.
    FACTS:
    guards::a_failed_test_in_a_json_patch_is_422_and_writes_nothing,
    guards::an_old_version_in_a_merge_patch_is_409_and_writes_nothing,
    guards::removing_what_is_not_there_is_422,
    guards::replacing_what_is_not_there_adds_it,
    guards::another_uid_is_refused,
    guards::a_dry_run_writes_nothing,
    guards::unknown_fields_of_an_application_fall_away,
    guards::operation_null_in_a_json_patch_falls_away,
    guards::a_write_without_effect_moves_nothing,
    guards::a_removed_key_leaves_no_owner,
    guards::managed_fields_can_be_backdated_by_an_update,
    guards::a_conflict_of_a_forceless_apply_names_the_owner,
    guards::a_watch_from_long_ago_ends_with_410,
    guards::an_access_review_says_what_a_write_will_say,
    guards::a_token_of_a_deleted_account_is_refused,
    guards::of_two_who_take_a_lease_at_once_one_is_refused,
    guards::a_watch_brings_what_came_after_the_list_then_a_bookmark_and_ends_in_time,
    rights::an_application_has_no_subresources,
    rights::the_definition_says_whether_automated_has_enabled,
    rights::a_right_by_name_is_no_right_to_another_name_nor_to_list,
    rights::a_right_to_list_is_one_to_all_of_the_namespace_and_to_no_other,
    rights::a_dry_run_needs_the_right_to_write,
    rights::everybody_may_ask_for_rights_and_find_kinds,
    argo::a_sync_of_what_is_as_git_says_moves_nothing,
    argo::a_refresh_is_answered_by_taking_the_annotation_away,
    argo::enabled_false_holds_beside_prune_and_self_heal,
    argo::automated_taken_away_leaves_no_owner,
    argo::a_change_while_frozen_stays_and_shows_as_out_of_sync,
    argo::an_operation_with_cleared_state_comes_back_as_it_was_sent,
    argo::prune_false_does_not_come_back,
    argo::a_sync_at_a_commit_leaves_the_target_as_declared,
    argo::an_operation_can_name_its_resources,
    argo::a_dry_run_operation_changes_nothing,
    argo::an_operation_at_an_unknown_commit_ends_in_error,
    argo::a_key_that_only_the_cluster_has_survives_a_sync_and_is_synced,
    argo::self_heal_puts_a_changed_key_back,
    argo::self_heal_leaves_an_added_key,
    argo::enabling_auto_sync_starts_a_sync_of_what_is_out_of_sync,
    policies::a_commit_while_frozen_is_not_synced,
    policies::enabling_auto_sync_where_all_is_as_git_says_starts_nothing,
    policies::after_its_end_an_operation_is_followed_by_a_comparison,
    policies::a_refresh_compares_with_what_was_pushed_before_it,
    policies::what_cannot_be_rendered_is_unknown_and_says_why,
    policies::a_freeze_does_not_end_an_operation_that_runs,
    syncs::a_sync_without_prune_leaves_what_git_no_longer_has,
    syncs::a_key_gone_from_git_goes_with_the_next_sync_and_no_other_key,
    syncs::last_applied_is_the_manifest_with_its_tracking_id_in_go_s_json,
    syncs::nothing_of_an_earlier_operation_is_left_in_the_next,
    syncs::only_a_full_sync_that_succeeds_writes_history,
    syncs::a_tracking_id_names_the_object_that_it_is_on,
    syncs::a_copied_tracking_id_is_no_ownership,
    syncs::a_server_side_sync_takes_back_what_is_declared_and_leaves_the_rest,
    syncs::a_server_side_sync_takes_away_what_was_applied_client_side,
    syncs::a_rule_that_was_added_to_a_role_goes_with_the_next_sync,
    syncs::a_value_that_is_set_carries_its_writer_and_a_removal_none,
    ignoring::what_is_ignored_is_not_compared_and_a_rule_without_a_group_is_about_the_core_group,
    ignoring::a_sync_overwrites_what_is_only_ignored,
    ignoring::with_respect_ignore_differences_a_sync_leaves_what_is_ignored,
];

facts![
    /// Those about what the lab does not have: hooks, and Applications of Applications. They are looked at when recordings are made.
    ONLY_REAL:
    policies::a_parent_puts_back_an_automated_that_was_taken_away_and_leaves_enabled_false,
    syncs::a_hook_is_run_by_a_sync_and_is_no_part_of_the_comparison,
];
