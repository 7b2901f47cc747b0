//! What every store must do, as one suite over `dyn Store`.
//!
//! A store's test binary says how to open one and gets one test per case:
//!
//! ```ignore
//! bailiwick_testkit::store_suite!(crate::FreshDatabase::new());
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use bailiwick_ports::store::Store;

pub mod accounts;
pub mod calls;
pub mod connections;
pub mod consent;
pub mod evidence;
pub mod fixtures;
pub mod identity;
pub mod registration;
pub mod state;
pub mod tokens;

/// One database, made for one test, which can be closed and opened again.
#[async_trait]
pub trait Bench: Send + Sync {
    /// Opens it in a run of its own. The store of the run before is dropped by then.
    async fn open(&self, boot: u8) -> Arc<dyn Store>;
}

/// Makes one test per case. The expression gives a fresh [`Bench`].
#[macro_export]
macro_rules! store_suite {
    ($bench:expr) => {
        $crate::store_suite!($bench; state:
            a_new_store_is_empty,
            agents_are_kept_whole,
            an_agent_changes_from_the_version_that_was_seen,
            tasks_open_and_end_once,
            bundles_are_published_and_rolled_back,
            a_bundle_with_a_wrong_digest_is_refused,
            safe_modes_go_on_and_off,
            observations_start_and_end,
            a_quarantine_replaces_the_one_before,
            vault_rows_are_kept_as_they_are,
            every_change_raises_the_epoch,
            the_state_survives_a_restart
        );
        $crate::store_suite!($bench; calls:
            a_refused_intent_changes_nothing,
            an_intent_relies_on_what_was_seen,
            an_observed_intent_needs_its_observation,
            an_intent_conflicts_only_with_what_it_relied_on,
            identifiers_are_used_up_once,
            a_budget_is_exact_under_contention,
            an_outcome_concludes_an_open_intent_once,
            open_intents_are_those_of_earlier_runs,
            a_token_notes_the_last_use_of_its_credential,
            what_expired_is_forgotten,
            a_clock_that_jumped_forgets_no_longer_than_it_is_wrong
        );
        $crate::store_suite!($bench; identity:
            users_are_kept_whole,
            grants_are_given_and_end_once,
            a_grant_ends_with_the_one_that_it_comes_from,
            what_ends_a_grant_overtakes_a_decision,
            what_stood_on_it_ends_with_it,
            what_is_over_is_forgotten,
            a_task_of_an_agents_own_is_forgotten_once_it_is_over,
            a_revoked_token_is_remembered_until_its_end,
            sessions_are_kept_whole,
            sessions_end_with_their_user,
            a_user_has_so_many_sessions,
            passkeys_are_kept_whole,
            a_link_is_used_once_and_in_time,
            who_leaves_has_no_passkey,
            provisioned_users_are_kept_whole,
            a_group_changes_with_its_users,
            provisioning_tokens_are_kept_by_their_digest
        );
        $crate::store_suite!($bench; accounts:
            accounts_of_providers_are_one_users
        );
        $crate::store_suite!($bench; connections:
            a_connection_is_kept_whole_and_renewed_from_what_was_seen,
            a_connection_makes_way_for_the_next_and_ends_with_its_user
        );
        $crate::store_suite!($bench; registration:
            a_registration_token_is_used_up,
            registration_access_rotates_and_ends
        );
        $crate::store_suite!($bench; consent:
            a_request_for_consent_waits_and_is_answered_once,
            a_user_is_asked_so_much_and_no_more,
            a_request_for_consent_ends_with_its_user_and_its_client
        );
        $crate::store_suite!($bench; tokens:
            a_refresh_token_is_used_once_and_the_next_takes_its_place,
            a_refresh_token_needs_an_active_grant,
            issued_tokens_are_listed_with_what_became_of_them
        );
        $crate::store_suite!($bench; evidence:
            the_chain_has_no_gaps,
            writers_share_one_chain,
            an_entry_too_large_is_refused_without_a_trace,
            entries_are_found_by_what_is_asked,
            entries_of_a_call_are_found_together,
            the_log_grows_and_verifies,
            only_a_larger_tree_is_signed,
            a_signer_that_fails_changes_nothing
        );
    };
    ($bench:expr; $module:ident: $($case:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::store_suite::$module::$case(&$bench).await;
                }
            )+
        }
    };
}
