-- People whom agents act for, what they and others allowed, and access tokens that were revoked before their end.
CREATE TABLE users (
  id            TEXT    NOT NULL PRIMARY KEY,
  version       INTEGER NOT NULL,
  name          TEXT    NOT NULL,
  email         TEXT,
  groups        TEXT    NOT NULL,
  status        TEXT    NOT NULL,
  status_at     INTEGER,
  status_reason TEXT,
  created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
  id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  kind           TEXT    NOT NULL,
  chain          TEXT    NOT NULL,
  parent         BLOB REFERENCES grants (id),
  resources      TEXT    NOT NULL,
  scopes         TEXT    NOT NULL,
  task           BLOB,
  authentication TEXT,
  status         TEXT    NOT NULL,
  ended_at       INTEGER,
  ended_reason   TEXT,
  created_at     INTEGER NOT NULL,
  expires_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX grants_active ON grants (expires_at) WHERE status = 'active';

ALTER TABLE tokens ADD COLUMN grant_id BLOB;

CREATE TABLE revoked_tokens (
  id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  until_at INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (until_at);
