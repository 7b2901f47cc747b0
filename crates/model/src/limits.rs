//! Every maximum that more than one crate must agree on, with its unit last.
//!
//! A maximum that one crate alone needs lives in that crate, beside its use.

/// Principals in one delegation chain, the initiating one included.
pub const CHAIN_DEPTH_MAX: usize = 8;
/// Operations that one call may fan out to (elements of an array argument).
pub const OPERATIONS_PER_CALL_MAX: usize = 256;
/// Bytes of one identifier made by a person (agent, system, role, zone …).
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of one MCP tool name.
pub const TOOL_NAME_BYTES_MAX: usize = 128;
/// Bytes of one free text made by a person (owner, purpose, reason).
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Bytes of one task prompt.
pub const PROMPT_BYTES_MAX: usize = 64 * 1_024;
/// Nesting of one JSON value taken from the wire.
pub const JSON_DEPTH_MAX: usize = 64;
/// Values inside the arguments of one call, and inside one question about calls: it bounds the memory that they take once
/// parsed.
pub const ARGUMENT_VALUES_MAX: usize = 100_000;
/// Bytes of one message body taken from the wire.
pub const BODY_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Groups of one user.
pub const GROUPS_PER_USER_MAX: usize = 256;
/// Passkeys of one user.
pub const PASSKEYS_PER_USER_MAX: usize = 16;
/// Sessions of one user at once; with one more, the oldest ends.
pub const SESSIONS_PER_USER_MAX: usize = 16;
/// Public keys in one agent's key set.
pub const KEYS_PER_AGENT_MAX: usize = 8;
/// Pinned values of one argument of one tool of one task.
pub const PIN_VALUES_MAX: usize = 256;
/// Tools that the `authorization_details` of one token or grant may name, each with its arguments: they travel in every
/// call.
pub const DETAIL_TOOLS_MAX: usize = 32;
/// Bytes of the `authorization_details` of one request.
pub const DETAILS_BYTES_MAX: usize = 4 * 1_024;
/// Bytes of memory that the tools of `authorization_details` may take, each with a copy of its arguments' pins.
pub const DETAILS_MEMORY_BYTES_MAX: usize = 8 * DETAILS_BYTES_MAX;
/// Bytes of `authorization_details` as a token says them, so that whoever is to read it can.
pub const DETAILS_TOLD_BYTES_MAX: usize = 2 * DETAILS_BYTES_MAX;
/// Requests for consent of one client that wait for a user apart from it.
pub const CONSENT_REQUESTS_PER_CLIENT_MAX: usize = 64;
/// Such requests of one client that wait for one user: no client takes the room of others.
pub const CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX: usize = 2;
/// Such requests that wait for one user: nobody is flooded until they say yes.
pub const CONSENT_REQUESTS_PER_USER_MAX: usize = 8;
/// Open tasks that one agent may have made for itself.
pub const TASKS_SELF_MADE_MAX: usize = 256;
/// Tools that one task may name.
pub const TASK_TOOLS_MAX: usize = 256;
/// Seconds an access token lives unless its agent's registration says less.
pub const ACCESS_TOKEN_TTL_S: u64 = 15 * 60;
/// Seconds an access token may live at most.
pub const ACCESS_TOKEN_TTL_S_MAX: u64 = 60 * 60;
/// Seconds a token of a client's hook lives: a working session, as no client can renew it. It opens nothing.
pub const HOOK_TOKEN_TTL_S: u64 = 12 * 60 * 60;
/// Seconds that any token lives at most: so long the key that signed it has to verify.
pub const TOKEN_TTL_S_LONGEST: u64 =
    if HOOK_TOKEN_TTL_S > ACCESS_TOKEN_TTL_S_MAX { HOOK_TOKEN_TTL_S } else { ACCESS_TOKEN_TTL_S_MAX };
/// Seconds a token lives by which one agent hands work over to another, and all that comes of it.
pub const HANDOVER_TTL_S: u64 = 5 * 60;
/// Delegations to one agent that may last at a time; each ends within minutes.
pub const DELEGATIONS_PER_AGENT_MAX: usize = 1_024;
/// Files in one policy bundle.
pub const BUNDLE_FILES_MAX: usize = 4_096;
/// Bytes of one policy bundle, all files added up.
pub const BUNDLE_BYTES_MAX: usize = 32 * 1_024 * 1_024;
