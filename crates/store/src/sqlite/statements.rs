//! Every statement, in one place and in words that PostgreSQL takes as well:
//! `$n` parameters in order of first use, standard upserts, no SQLite functions.
//!
//! A test prepares each of them and checks its parameters.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        /// All of them by name.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),*];
    };
}

statements! {
    // ---- transactions ----
    BEGIN = "BEGIN IMMEDIATE";
    BEGIN_READ = "BEGIN";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVEPOINT = "SAVEPOINT command";
    UNDO = "ROLLBACK TO SAVEPOINT command";
    RELEASE = "RELEASE SAVEPOINT command";

    // ---- instance ----
    START_INSTANCE = "INSERT INTO instance (one, replica, epoch, decisive_epoch) VALUES (1, $1, 0, 0) \
        ON CONFLICT (one) DO NOTHING";
    REPLICA = "SELECT replica FROM instance WHERE one = 1";
    EPOCH = "SELECT epoch FROM instance WHERE one = 1";
    EPOCHS = "SELECT epoch, decisive_epoch FROM instance WHERE one = 1";
    BUMP_EPOCH = "UPDATE instance SET epoch = epoch + 1 WHERE one = 1 RETURNING epoch";
    BUMP_DECISIVE_EPOCH = "UPDATE instance SET epoch = epoch + 1, decisive_epoch = epoch + 1 WHERE one = 1 \
        RETURNING epoch";

    // ---- evidence ----
    NEWEST_ENTRY = "SELECT sequence, at, hash, leaf FROM entries ORDER BY sequence DESC LIMIT 1";
    INSERT_ENTRY = "INSERT INTO entries (sequence, event_id, kind, at, concludes, agent, system, action, hash, leaf) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    INSERT_SEALED = "INSERT INTO sealed (sequence, subject, ciphertext) VALUES ($1, $2, $3)";
    INSERT_OPEN_INTENT = "INSERT INTO open_intents (event_id, sequence, boot) VALUES ($1, $2, $3)";
    CLOSE_INTENT = "DELETE FROM open_intents WHERE event_id = $1";
    OPEN_INTENTS = "SELECT event_id FROM open_intents WHERE boot <> $1 ORDER BY sequence";
    ENTRIES_OF = "SELECT e.sequence AS sequence, e.leaf AS leaf, s.subject AS subject, s.ciphertext AS ciphertext, \
        t.size AS size FROM tree t CROSS JOIN entries e LEFT JOIN sealed s ON s.sequence = e.sequence \
        WHERE e.event_id = $1 OR e.concludes = $1 ORDER BY e.sequence LIMIT $2";
    TREE = "SELECT size, peaks FROM tree WHERE one = 1";
    HASHES = "SELECT hash FROM entries WHERE sequence >= $1 ORDER BY sequence LIMIT $2";
    /// A row that nobody draws from; with the next one it changes nothing, and is written all the same.
    TOUCH = "INSERT INTO budgets (budget, window_start_s, until_at, used) VALUES ('', 0, 0, 0)";
    UNTOUCH = "DELETE FROM budgets WHERE budget = ''";
    GROW_TREE = "UPDATE tree SET size = $1, peaks = $2 WHERE one = 1 AND size = $3";
    INSERT_CHECKPOINT = "INSERT INTO checkpoints (size, root, note) VALUES ($1, $2, $3)";
    CHECKPOINT = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
    CHECKPOINTS = "SELECT size, note FROM checkpoints ORDER BY size";
    CHECKPOINT_ROOT = "SELECT root FROM checkpoints WHERE size = $1";

    // ---- calls ----
    SPEND = "INSERT INTO spent (forget_at, scope, jti) VALUES ($1, $2, $3)";
    SPENT = "SELECT scope, jti FROM spent";
    DRAW = "INSERT INTO budgets (budget, window_start_s, until_at, used) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (budget, window_start_s) DO UPDATE SET used = budgets.used + excluded.used \
        WHERE budgets.used + excluded.used <= $5";
    BUDGET_USED = "SELECT used FROM budgets WHERE budget = $1 AND window_start_s = $2";
    PUT_FACT = "INSERT INTO facts (initiating, fact, until_at) VALUES ($1, $2, $3) \
        ON CONFLICT (initiating, fact) DO UPDATE SET until_at = excluded.until_at \
        WHERE excluded.until_at > facts.until_at";
    COUNT_FACTS = "SELECT COUNT(*) FROM facts WHERE initiating = $1 AND until_at > $2";
    FACTS = "SELECT initiating, fact, until_at FROM facts WHERE until_at > $1 ORDER BY initiating, fact";

    // ---- tokens ----
    INSERT_TOKEN = "INSERT INTO tokens (id, client, task, confirmation, credential, issued_at, expires_at, grant_id, \
        audience) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    TOKEN_CREDENTIAL = "SELECT credential FROM tokens WHERE id = $1";
    CREDENTIAL_LAST_USED = "SELECT last_used_at FROM credentials WHERE agent = $1 AND thumbprint = $2";
    USE_CREDENTIAL = "UPDATE credentials SET last_used_at = $1 WHERE agent = $2 AND thumbprint = $3";

    TOKENS = "SELECT t.id AS id, t.client AS client, t.audience AS audience, t.grant_id AS grant_id, t.task AS task, \
        t.confirmation AS confirmation, t.credential AS credential, t.issued_at AS issued_at, \
        t.expires_at AS expires_at, g.kind AS kind, r.id IS NOT NULL AS revoked \
        FROM tokens t LEFT JOIN grants g ON g.id = t.grant_id LEFT JOIN revoked_tokens r ON r.id = t.id \
        WHERE t.id > $1 AND t.expires_at > $2 AND ($3 IS NULL OR t.client = $3) AND ($4 IS NULL OR t.grant_id = $4) \
        ORDER BY t.id LIMIT $5";
    TOKEN = "SELECT t.id AS id, t.client AS client, t.audience AS audience, t.grant_id AS grant_id, t.task AS task, \
        t.confirmation AS confirmation, t.credential AS credential, t.issued_at AS issued_at, \
        t.expires_at AS expires_at, g.kind AS kind, r.id IS NOT NULL AS revoked \
        FROM tokens t LEFT JOIN grants g ON g.id = t.grant_id LEFT JOIN revoked_tokens r ON r.id = t.id \
        WHERE t.id = $1";
    INSERT_REFRESH_TOKEN = "INSERT INTO refresh_tokens (digest, grant_id, number, confirmation, issued_at, used_at, \
        expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    USE_REFRESH_TOKEN = "UPDATE refresh_tokens SET used_at = $1 WHERE digest = $2 AND used_at IS NULL";
    REFRESH_TOKEN = "SELECT digest, grant_id, number, confirmation, issued_at, used_at, expires_at \
        FROM refresh_tokens WHERE digest = $1";
    REVOKE_TOKEN = "INSERT INTO revoked_tokens (id, until_at) VALUES ($1, $2)";
    TOKEN_REVOKED = "SELECT COUNT(*) FROM revoked_tokens WHERE id = $1";
    REVOKED_TOKENS = "SELECT id, until_at FROM revoked_tokens WHERE until_at > $1 ORDER BY id";

    // ---- grants ----
    INSERT_GRANT = "INSERT INTO grants (id, kind, chain, parent, resources, scopes, task, authentication, status, \
        ended_at, ended_reason, created_at, expires_at, subject_token, subject_task, details, vouched) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    END_GRANT = "UPDATE grants SET status = 'ended', ended_at = $1, ended_reason = $2 \
        WHERE id = $3 AND status = 'active'";
    GRANT_STANDING = "SELECT COUNT(*) FROM grants WHERE id = $1 AND status = 'active' AND expires_at > $2";
    GRANT = "SELECT id, kind, chain, parent, resources, scopes, task, authentication, status, ended_at, ended_reason, \
        created_at, expires_at, subject_token, subject_task, details, vouched FROM grants WHERE id = $1";
    ACTIVE_GRANTS = "SELECT id, kind, chain, parent, resources, scopes, task, authentication, status, ended_at, \
        ended_reason, created_at, expires_at, subject_token, subject_task, details, vouched FROM grants \
        WHERE status = 'active' AND expires_at > $1 ORDER BY id";

    // ---- requests for consent ----
    INSERT_CONSENT_REQUEST = "INSERT INTO consent_requests (id, kind, secret, user_code, client, user_id, asked, state, \
        status, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    FORGET_CONSENT_REQUESTS = "DELETE FROM consent_requests WHERE expires_at <= $1";
    WAITING_OF_CLIENT = "SELECT COUNT(*) FROM consent_requests WHERE client = $1 AND state = 'waiting' AND expires_at > $2";
    WAITING_OF_USER = "SELECT COUNT(*) FROM consent_requests WHERE user_id = $1 AND state = 'waiting' AND expires_at > $2";
    WAITING_OF_BOTH = "SELECT COUNT(*) FROM consent_requests WHERE client = $1 AND expires_at > $2 AND user_id = $3 \
        AND state = 'waiting'";
    ANSWER_CONSENT_REQUEST = "UPDATE consent_requests SET user_id = $1, state = $2, status = $3 \
        WHERE id = $4 AND (user_id IS NULL OR user_id = $1) \
        AND (state = 'waiting' OR (state = 'allowed' AND $2 = 'refused'))";
    REDEEM_CONSENT_REQUEST = "UPDATE consent_requests SET state = $1, status = $2 \
        WHERE id = $3 AND state = 'allowed' AND expires_at > $4";
    REFUSE_CONSENT_FOR = "UPDATE consent_requests SET state = $1, status = $2 \
        WHERE user_id = $3 AND state IN ('waiting', 'allowed')";
    REFUSE_CONSENT_OF = "UPDATE consent_requests SET state = $1, status = $2 \
        WHERE client = $3 AND state IN ('waiting', 'allowed')";
    CONSENT_REQUEST = "SELECT id, kind, secret, user_code, client, user_id, asked, status, created_at, expires_at \
        FROM consent_requests WHERE id = $1";
    CONSENT_REQUEST_OF_SECRET = "SELECT id, kind, secret, user_code, client, user_id, asked, status, created_at, \
        expires_at FROM consent_requests WHERE secret = $1";
    CONSENT_REQUEST_OF_CODE = "SELECT id, kind, secret, user_code, client, user_id, asked, status, created_at, \
        expires_at FROM consent_requests WHERE user_code = $1";
    CONSENT_REQUESTS_OF_USER = "SELECT id, kind, secret, user_code, client, user_id, asked, status, created_at, \
        expires_at FROM consent_requests WHERE user_id = $1 AND state IN ('waiting', 'allowed') ORDER BY id";

    // ---- users ----
    INSERT_USER = "INSERT INTO users (id, version, name, email, groups, status, status_at, status_reason, created_at, \
        directory, directory_active, user_name) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    UPDATE_USER = "UPDATE users SET id = $1, version = $2, name = $3, email = $4, groups = $5, status = $6, \
        status_at = $7, status_reason = $8, created_at = $9, directory = $10, directory_active = $11, \
        user_name = $12 WHERE id = $1 AND version = $13";
    USER_VERSION = "SELECT version FROM users WHERE id = $1";
    USERS = "SELECT id, version, name, email, groups, status, status_at, status_reason, created_at, directory \
        FROM users ORDER BY id";

    USER_ACTIVE = "SELECT COUNT(*) FROM users WHERE id = $1 AND status = 'active' AND directory_active IS NOT 0";

    // ---- directory ----
    INSERT_DIRECTORY_GROUP = "INSERT INTO directory_groups (id, version, display_name, external_id, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
    UPDATE_DIRECTORY_GROUP = "UPDATE directory_groups SET id = $1, version = $2, display_name = $3, external_id = $4, \
        created_at = $5 WHERE id = $1 AND version = $2 - 1";
    DELETE_DIRECTORY_GROUP = "DELETE FROM directory_groups WHERE id = $1 AND version = $2";
    DIRECTORY_GROUPS = "SELECT id, version, display_name, external_id, created_at FROM directory_groups ORDER BY id";
    INSERT_PROVISIONING_TOKEN = "INSERT INTO provisioning_tokens (name, token, created_at, expires_at) \
        VALUES ($1, $2, $3, $4)";
    DELETE_PROVISIONING_TOKEN = "DELETE FROM provisioning_tokens WHERE name = $1";
    PROVISIONING_TOKEN = "SELECT name, token, created_at, expires_at FROM provisioning_tokens WHERE token = $1";
    PROVISIONING_TOKENS = "SELECT name, token, created_at, expires_at FROM provisioning_tokens ORDER BY name";

    // ---- sessions ----
    INSERT_SESSION = "INSERT INTO sessions (id, token, user_id, authentication, created_at, idle_ends_at, ends_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    CROWD_OUT_SESSIONS = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 \
        ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET $2)";
    TOUCH_SESSION = "UPDATE sessions SET idle_ends_at = $1 WHERE id = $2 AND idle_ends_at < $1";
    CLOSE_SESSION = "DELETE FROM sessions WHERE id = $1";
    CLOSE_SESSIONS = "DELETE FROM sessions WHERE user_id = $1";
    FORGET_SESSIONS = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ends_at <= $1 \
        UNION SELECT id FROM sessions WHERE idle_ends_at <= $1)";
    SESSION = "SELECT id, token, user_id, authentication, created_at, idle_ends_at, ends_at FROM sessions \
        WHERE token = $1";
    SESSIONS = "SELECT id, token, user_id, authentication, created_at, idle_ends_at, ends_at FROM sessions \
        WHERE user_id = $1 ORDER BY created_at DESC, id DESC";

    // ---- accounts of providers ----
    INSERT_IDENTITY = "INSERT INTO identities (issuer, subject, user_id, linked_by, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
    IDENTITY = "SELECT subject, issuer, user_id, linked_by, created_at, removed_at FROM identities \
        WHERE issuer = $1 AND subject = $2";
    IDENTITIES = "SELECT subject, issuer, user_id, linked_by, created_at, removed_at FROM identities \
        WHERE user_id = $1 ORDER BY created_at, issuer, subject";
    REMOVE_IDENTITY = "UPDATE identities SET removed_at = $1 WHERE issuer = $2 AND subject = $3 AND user_id = $4 \
        AND removed_at IS NULL";
    DELETE_FREE_IDENTITY = "DELETE FROM identities WHERE issuer = $1 AND subject = $2 AND (removed_at IS NOT NULL \
        OR user_id IN (SELECT id FROM users WHERE status = 'left'))";
    DELETE_MATCHED_IDENTITIES = "DELETE FROM identities WHERE user_id = $1 AND linked_by = 'match' \
        AND removed_at IS NULL";

    // ---- connections ----
    INSERT_CONNECTION = "INSERT INTO connections (id, user_id, system, binding, scopes, sealed, version, connected_at, \
        renewed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    REPLACE_CONNECTION = "UPDATE connections SET ended_at = $1 WHERE user_id = $2 AND system = $3 AND ended_at IS NULL";
    RENEW_CONNECTION = "UPDATE connections SET scopes = $1, sealed = $2, version = $3, renewed_at = $4, expires_at = $5 \
        WHERE id = $6 AND version = $3 - 1 AND ended_at IS NULL";
    END_CONNECTION = "UPDATE connections SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL";
    END_CONNECTIONS = "UPDATE connections SET ended_at = $1 WHERE user_id = $2 AND ended_at IS NULL";
    CONNECTION = "SELECT id, user_id, system, binding, scopes, sealed, version, connected_at, renewed_at, expires_at, \
        ended_at FROM connections WHERE user_id = $1 AND system = $2 AND ended_at IS NULL";
    CONNECTIONS = "SELECT id, user_id, system, binding, scopes, sealed, version, connected_at, renewed_at, expires_at, \
        ended_at FROM connections WHERE user_id = $1 AND ended_at IS NULL ORDER BY system";
    ENDED_CONNECTIONS = "SELECT id, user_id, system, binding, scopes, sealed, version, connected_at, renewed_at, \
        expires_at, ended_at FROM connections WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT $1";
    FORGET_CONNECTION = "DELETE FROM connections WHERE id = $1 AND ended_at IS NOT NULL";

    // ---- passkeys ----
    PUT_INVITATION = "INSERT INTO invitations (user_id, token, created_at, expires_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (user_id) DO UPDATE SET token = excluded.token, created_at = excluded.created_at, \
        expires_at = excluded.expires_at";
    INVITATION = "SELECT user_id, token, created_at, expires_at FROM invitations WHERE token = $1";
    USE_INVITATION = "DELETE FROM invitations WHERE token = $1 AND user_id = $2 AND expires_at > $3";
    DELETE_INVITATION = "DELETE FROM invitations WHERE user_id = $1";
    INSERT_PASSKEY = "INSERT INTO passkeys (credential, user_id, name, record, created_at, last_used_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    COUNT_PASSKEYS = "SELECT COUNT(*) FROM passkeys WHERE user_id = $1";
    USE_PASSKEY = "UPDATE passkeys SET record = $1, last_used_at = $2 WHERE credential = $3 AND record = $4";
    DELETE_PASSKEY = "DELETE FROM passkeys WHERE credential = $1 AND user_id = $2";
    DELETE_PASSKEYS = "DELETE FROM passkeys WHERE user_id = $1";
    PASSKEY = "SELECT credential, user_id, name, record, created_at, last_used_at FROM passkeys WHERE credential = $1";
    PASSKEYS = "SELECT credential, user_id, name, record, created_at, last_used_at FROM passkeys \
        WHERE user_id = $1 ORDER BY created_at, credential";

    // ---- agents ----
    INSERT_AGENT = "INSERT INTO agents (name, version, owner, purpose, environment, role, systems, scopes, redirect_uris, \
        promoted, bearer_tokens_allowed, task_required, token_ttl_s, status, status_at, status_reason, created_at, \
        expires_at, review_by, successor_by, key_protection) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    UPDATE_AGENT = "UPDATE agents SET name = $1, version = $2, owner = $3, purpose = $4, environment = $5, role = $6, \
        systems = $7, scopes = $8, redirect_uris = $9, promoted = $10, bearer_tokens_allowed = $11, \
        task_required = $12, token_ttl_s = $13, status = $14, status_at = $15, status_reason = $16, created_at = $17, \
        expires_at = $18, review_by = $19, successor_by = $20, key_protection = $21 WHERE name = $1 AND version = $22";
    AGENT_VERSION = "SELECT version FROM agents WHERE name = $1";
    AGENTS = "SELECT name, version, owner, purpose, environment, role, systems, scopes, redirect_uris, promoted, \
        bearer_tokens_allowed, task_required, token_ttl_s, status, status_at, status_reason, created_at, expires_at, \
        review_by, successor_by, key_protection FROM agents ORDER BY name";
    INSERT_CREDENTIAL = "INSERT INTO credentials (agent, thumbprint, place, authenticator, attestation, created_at, \
        expires_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    CREDENTIALS_USED = "SELECT thumbprint, last_used_at FROM credentials WHERE agent = $1";
    DELETE_CREDENTIALS = "DELETE FROM credentials WHERE agent = $1";
    CREDENTIALS = "SELECT agent, thumbprint, authenticator, attestation, created_at, expires_at, last_used_at \
        FROM credentials ORDER BY agent, place";

    // ---- registration ----
    INSERT_REGISTRATION_TOKEN = "INSERT INTO registration_tokens (id, digest, terms, uses, uses_max, created_at, \
        expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    DELETE_REGISTRATION_TOKEN = "DELETE FROM registration_tokens WHERE id = $1";
    USE_REGISTRATION_TOKEN = "UPDATE registration_tokens SET uses = uses + 1 \
        WHERE id = $1 AND uses < uses_max AND expires_at > $2";
    REGISTRATION_TOKEN = "SELECT id, digest, terms, uses, uses_max, created_at, expires_at \
        FROM registration_tokens WHERE digest = $1";
    REGISTRATION_TOKENS = "SELECT id, digest, terms, uses, uses_max, created_at, expires_at \
        FROM registration_tokens ORDER BY id";
    INSERT_REGISTRATION_ACCESS = "INSERT INTO registration_access (agent, digest) VALUES ($1, $2)";
    REGISTRATION_ACCESS = "SELECT agent FROM registration_access WHERE digest = $1";
    ROTATE_REGISTRATION_ACCESS = "UPDATE registration_access SET digest = $1 WHERE digest = $2";
    END_REGISTRATION_ACCESS = "DELETE FROM registration_access WHERE agent = $1";

    // ---- tasks ----
    INSERT_TASK = "INSERT INTO tasks (id, agent, purpose, prompt_commitment, tools, status, ended_at, ended_reason, \
        created_at, expires_at, self_made) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    END_TASK = "UPDATE tasks SET status = 'ended', ended_at = $1, ended_reason = $2 \
        WHERE id = $3 AND status = 'open'";
    END_TASKS_OF = "UPDATE tasks SET status = 'ended', ended_at = $1, ended_reason = 'its agent retired' \
        WHERE status = 'open' AND agent = $2";
    TASK = "SELECT id, agent, purpose, prompt_commitment, tools, status, ended_at, ended_reason, created_at, \
        expires_at, self_made FROM tasks WHERE id = $1";
    OPEN_TASKS = "SELECT id, agent, purpose, prompt_commitment, tools, status, ended_at, ended_reason, created_at, \
        expires_at, self_made FROM tasks WHERE status = 'open' AND expires_at > $1 ORDER BY id";
    TASK_STANDING = "SELECT COUNT(*) FROM tasks WHERE id = $1 AND status = 'open' AND expires_at > $2";

    // ---- bundles ----
    INSERT_BUNDLE = "INSERT INTO bundles (revision, boundary, boundary_signature, published_at, published_by) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (revision) DO NOTHING";
    SIGN_BUNDLE_ANEW = "UPDATE bundles SET boundary_signature = $1 WHERE revision = $2";
    INSERT_BUNDLE_FILE = "INSERT INTO bundle_files (revision, path, content) VALUES ($1, $2, $3)";
    ACTIVATE_BUNDLE = "INSERT INTO active_bundle (one, revision) VALUES (1, $1) \
        ON CONFLICT (one) DO UPDATE SET revision = excluded.revision";
    ACTIVE_BUNDLE = "SELECT revision FROM active_bundle WHERE one = 1";
    BUNDLE = "SELECT revision, boundary, boundary_signature, published_at, published_by FROM bundles \
        WHERE revision = $1";
    BUNDLES = "SELECT revision, boundary, boundary_signature, published_at, published_by FROM bundles \
        ORDER BY published_at DESC, revision";
    BUNDLE_FILES = "SELECT path, content FROM bundle_files WHERE revision = $1 ORDER BY path";

    // ---- safe modes and quarantine ----
    INSERT_SAFE_MODE = "INSERT INTO safe_modes (scope, reason, since_at) VALUES ($1, $2, $3)";
    DELETE_SAFE_MODE = "DELETE FROM safe_modes WHERE scope = $1";
    SAFE_MODES = "SELECT scope, reason, since_at FROM safe_modes ORDER BY scope";
    INSERT_OBSERVATION = "INSERT INTO observations (scope, production, reason, since_at, until_at) \
        VALUES ($1, $2, $3, $4, $5)";
    DELETE_OBSERVATION = "DELETE FROM observations WHERE scope = $1";
    OBSERVATIONS = "SELECT scope, production, reason, since_at, until_at, would_allow, would_ask, would_deny \
        FROM observations ORDER BY scope";
    COUNT_OBSERVED = "UPDATE observations SET would_allow = would_allow + $1, would_ask = would_ask + $2, \
        would_deny = would_deny + $3 WHERE scope = $4 AND until_at > $5";
    INSERT_QUARANTINE = "INSERT INTO quarantine (system, tool, pinned, seen, definition, since_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    DELETE_QUARANTINE = "DELETE FROM quarantine WHERE system = $1";
    QUARANTINE = "SELECT system, tool, pinned, seen, definition, since_at FROM quarantine ORDER BY system, tool";

    // ---- vault ----
    DATA_KEY = "SELECT wrapped FROM data_keys WHERE subject = $1";
    KEEP_DATA_KEY = "INSERT INTO data_keys (subject, wrapped) VALUES ($1, $2) ON CONFLICT (subject) DO NOTHING";
    PUT_SECRET = "INSERT INTO secrets (name, ciphertext) VALUES ($1, $2) \
        ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext";
    DELETE_SECRET = "DELETE FROM secrets WHERE name = $1";
    SECRET = "SELECT ciphertext FROM secrets WHERE name = $1";
    SECRETS = "SELECT name FROM secrets ORDER BY name";

    // ---- forgetting ----
    FORGET_SPENT = "DELETE FROM spent WHERE (forget_at, scope, jti) IN (SELECT forget_at, scope, jti FROM spent \
        WHERE forget_at <= $1 ORDER BY forget_at, scope, jti LIMIT $2) RETURNING scope, jti";
    FORGET_BUDGETS = "DELETE FROM budgets WHERE (budget, window_start_s) IN \
        (SELECT budget, window_start_s FROM budgets WHERE until_at <= $1 ORDER BY until_at LIMIT $2)";
    FORGET_FACTS = "DELETE FROM facts WHERE (initiating, fact) IN \
        (SELECT initiating, fact FROM facts WHERE until_at <= $1 ORDER BY until_at LIMIT $2)";
    FORGET_REVOKED = "DELETE FROM revoked_tokens WHERE id IN \
        (SELECT id FROM revoked_tokens WHERE until_at <= $1 ORDER BY until_at LIMIT $2)";
    FORGET_REGISTRATION_TOKENS = "DELETE FROM registration_tokens WHERE id IN \
        (SELECT id FROM registration_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    FORGET_REFRESH_TOKENS = "DELETE FROM refresh_tokens WHERE digest IN \
        (SELECT digest FROM refresh_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    /// A grant that others or refresh tokens come from goes after them: each is gone by its own end at the latest.
    FORGET_GRANTS = "DELETE FROM grants WHERE id IN (SELECT g.id FROM grants g WHERE g.expires_at <= $1 \
        AND NOT EXISTS (SELECT 1 FROM grants c WHERE c.parent = g.id) \
        AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id) ORDER BY g.expires_at LIMIT $2)";
    /// What an agent made for itself, at its own pace, goes once it is over and no token or grant names it.
    FORGET_OWN_TASKS = "DELETE FROM tasks WHERE id IN (SELECT t.id FROM tasks t WHERE t.self_made = 1 \
        AND coalesce(t.ended_at, t.expires_at) <= $1 \
        AND NOT EXISTS (SELECT 1 FROM tokens k WHERE k.task = t.id) \
        AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.task = t.id) \
        AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.subject_task = t.id) \
        ORDER BY coalesce(t.ended_at, t.expires_at) LIMIT $2)";
    /// An id begins with the time of its issue, so the oldest are the first: no index but that of the ids is needed.
    FORGET_TOKENS = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE id < $1 AND expires_at <= $2 \
        ORDER BY id LIMIT $3)";
}

/// What is run before each commit besides [`FORGET_SPENT`] and [`FORGET_TOKENS`]: $1 is the time, $2 the number of rows.
/// Each row is kept until what it is about has ended by itself; what it said stays in the evidence.
pub(crate) const FORGET: [&str; 7] = [
    FORGET_BUDGETS,
    FORGET_FACTS,
    FORGET_REVOKED,
    FORGET_REGISTRATION_TOKENS,
    FORGET_REFRESH_TOKENS,
    FORGET_GRANTS,
    FORGET_OWN_TASKS,
];

/// The start of every search of entries; [`super::evidence`] adds its conditions.
pub(crate) const ENTRIES: &str = "SELECT e.sequence AS sequence, e.leaf AS leaf, s.subject AS subject, \
    s.ciphertext AS ciphertext, t.size AS size FROM tree t CROSS JOIN entries e \
    LEFT JOIN sealed s ON s.sequence = e.sequence WHERE t.one = 1";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::open::MIGRATIONS;

    fn empty() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|script| connection.execute_batch(script).unwrap());
        connection
    }

    #[test]
    fn every_statement_prepares_with_numbered_parameters_in_order() {
        let connection = empty();
        for (name, sql) in ALL {
            // SQLite numbers `$n` by first use, PostgreSQL by n: both agree if first uses are in order.
            let mut highest = 0;
            for digits in sql.split('$').skip(1) {
                let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
                let number: usize = digits.parse().unwrap_or_else(|_| panic!("{name}: a parameter without number"));
                assert!(number <= highest + 1, "{name}: ${number} is used before ${}", highest + 1);
                highest = highest.max(number);
            }
            let statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(statement.parameter_count(), highest, "{name}");
        }
    }

    /// The statements of the hot path must never scan a table.
    #[test]
    fn nothing_on_the_way_of_a_call_scans() {
        let connection = empty();
        let hot = [
            INSERT_ENTRY,
            INSERT_OPEN_INTENT,
            CLOSE_INTENT,
            SPEND,
            DRAW,
            PUT_FACT,
            COUNT_FACTS,
            COUNT_OBSERVED,
            AGENT_VERSION,
            TASK_STANDING,
            EPOCHS,
            FORGET_SPENT,
            FORGET_BUDGETS,
            FORGET_FACTS,
            FORGET_REVOKED,
            FORGET_REGISTRATION_TOKENS,
            FORGET_REFRESH_TOKENS,
            FORGET_GRANTS,
            FORGET_OWN_TASKS,
            FORGET_TOKENS,
            GRANT_STANDING,
            TOKEN_REVOKED,
            USER_VERSION,
            ENTRIES_OF,
            NEWEST_ENTRY,
            HASHES,
        ];
        for sql in hot {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let count = statement.parameter_count();
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(vec![1_i64; count]), |row| row.get::<_, String>(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let scans: Vec<_> = plan
                .iter()
                // The tree has one row; the newest entry is the end of its table.
                .filter(|step| step.starts_with("SCAN") && *step != "SCAN t" && sql != NEWEST_ENTRY)
                .filter(|step| !step.contains("USING INDEX") && !step.contains("USING COVERING INDEX"))
                .collect();
            assert!(scans.is_empty(), "{sql}: {plan:?}");
        }
    }
}
