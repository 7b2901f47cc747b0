-- Times are microseconds since 1970. Digests, hashes and ids are bytes.
-- Lists and nested values are JSON text.

CREATE TABLE instance (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  replica        BLOB    NOT NULL CHECK (length(replica) = 16),
  epoch          INTEGER NOT NULL,
  -- The epoch of the last change that every decision relies on: bundle, safe modes, quarantine.
  decisive_epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
  name                  TEXT    NOT NULL PRIMARY KEY,
  version               INTEGER NOT NULL,
  owner                 TEXT    NOT NULL,
  purpose               TEXT    NOT NULL,
  environment           TEXT    NOT NULL,
  role                  TEXT    NOT NULL,
  systems               TEXT    NOT NULL,
  scopes                TEXT    NOT NULL,
  promoted              INTEGER NOT NULL CHECK (promoted IN (0, 1)),
  bearer_tokens_allowed INTEGER NOT NULL CHECK (bearer_tokens_allowed IN (0, 1)),
  task_required         INTEGER NOT NULL CHECK (task_required IN (0, 1)),
  token_ttl_s           INTEGER NOT NULL,
  status                TEXT    NOT NULL,
  status_at             INTEGER,
  status_reason         TEXT,
  created_at            INTEGER NOT NULL,
  expires_at            INTEGER NOT NULL
) STRICT;

CREATE TABLE credentials (
  agent        TEXT    NOT NULL REFERENCES agents (name),
  thumbprint   TEXT    NOT NULL,
  place        INTEGER NOT NULL,
  kid          TEXT    NOT NULL,
  algorithm    TEXT    NOT NULL,
  jwk          TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  last_used_at INTEGER,
  PRIMARY KEY (agent, thumbprint)
) STRICT;

CREATE TABLE tasks (
  id                BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  agent             TEXT    NOT NULL REFERENCES agents (name),
  purpose           TEXT    NOT NULL,
  prompt_commitment BLOB,
  tools             TEXT    NOT NULL,
  status            TEXT    NOT NULL,
  ended_at          INTEGER,
  ended_reason      TEXT,
  created_at        INTEGER NOT NULL,
  expires_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX tasks_open ON tasks (expires_at) WHERE status = 'open';

CREATE TABLE tokens (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  client       TEXT    NOT NULL REFERENCES agents (name),
  task         BLOB,
  confirmation TEXT,
  credential   TEXT    NOT NULL,
  issued_at    INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_client ON tokens (client, expires_at);

CREATE TABLE bundles (
  revision           BLOB    NOT NULL PRIMARY KEY CHECK (length(revision) = 32),
  boundary           BLOB    NOT NULL,
  boundary_signature BLOB    NOT NULL,
  published_at       INTEGER NOT NULL,
  published_by       TEXT    NOT NULL
) STRICT;

CREATE TABLE bundle_files (
  revision BLOB NOT NULL REFERENCES bundles (revision),
  path     TEXT NOT NULL,
  content  BLOB NOT NULL,
  PRIMARY KEY (revision, path)
) STRICT;

CREATE TABLE active_bundle (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  revision BLOB    NOT NULL REFERENCES bundles (revision)
) STRICT;

CREATE TABLE safe_modes (
  scope    TEXT    NOT NULL PRIMARY KEY,
  reason   TEXT    NOT NULL,
  since_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
  system     TEXT    NOT NULL,
  tool       TEXT    NOT NULL,
  pinned     BLOB,
  seen       BLOB,
  definition TEXT    NOT NULL,
  since_at   INTEGER NOT NULL,
  PRIMARY KEY (system, tool)
) STRICT;

CREATE TABLE data_keys (
  subject TEXT NOT NULL PRIMARY KEY,
  wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
  name       TEXT NOT NULL PRIMARY KEY,
  ciphertext BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE spent (
  scope     TEXT    NOT NULL,
  jti       BLOB    NOT NULL,
  forget_at INTEGER NOT NULL,
  PRIMARY KEY (scope, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_end ON spent (forget_at);

CREATE TABLE budgets (
  budget         TEXT    NOT NULL,
  window_start_s INTEGER NOT NULL,
  until_at       INTEGER NOT NULL,
  used           INTEGER NOT NULL,
  PRIMARY KEY (budget, window_start_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX budgets_by_end ON budgets (until_at);

CREATE TABLE facts (
  initiating TEXT    NOT NULL,
  fact       TEXT    NOT NULL,
  until_at   INTEGER NOT NULL,
  PRIMARY KEY (initiating, fact)
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_by_end ON facts (until_at);

-- The evidence: the chain of this database's one replica. Rows are never changed or removed.
-- Columns beside `leaf` repeat parts of it, to search by; `leaf` alone is what was said.
CREATE TABLE entries (
  sequence INTEGER PRIMARY KEY,
  event_id TEXT    NOT NULL,
  kind     TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  concludes TEXT,
  agent    TEXT,
  system   TEXT,
  action   TEXT,
  hash     BLOB    NOT NULL CHECK (length(hash) = 32),
  leaf     BLOB    NOT NULL
) STRICT;
CREATE INDEX entries_by_event ON entries (event_id);
CREATE INDEX entries_by_conclusion ON entries (concludes) WHERE concludes IS NOT NULL;
CREATE INDEX entries_by_agent ON entries (agent) WHERE agent IS NOT NULL;
CREATE INDEX entries_by_system ON entries (system) WHERE system IS NOT NULL;
CREATE INDEX entries_by_kind ON entries (kind);
CREATE INDEX entries_by_time ON entries (at);

CREATE TABLE sealed (
  sequence   INTEGER PRIMARY KEY REFERENCES entries (sequence),
  subject    TEXT NOT NULL,
  ciphertext BLOB NOT NULL
) STRICT;

CREATE TABLE open_intents (
  event_id TEXT    NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL,
  boot     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The Merkle log. One chain, so an entry's index is its sequence; `size` tells how far the tree has come.
CREATE TABLE tree (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  size  INTEGER NOT NULL,
  peaks BLOB    NOT NULL
) STRICT;
INSERT INTO tree (one, size, peaks) VALUES (1, 0, x'');

CREATE TABLE checkpoints (
  size INTEGER PRIMARY KEY,
  root BLOB NOT NULL CHECK (length(root) = 32),
  note TEXT NOT NULL
) STRICT;
