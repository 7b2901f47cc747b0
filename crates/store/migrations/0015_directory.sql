-- What a directory provisions: its side of users, its groups, and the credentials that it comes with.
ALTER TABLE users ADD COLUMN directory TEXT;
ALTER TABLE users ADD COLUMN directory_active INTEGER;
ALTER TABLE users ADD COLUMN user_name TEXT;
CREATE UNIQUE INDEX users_by_user_name ON users (user_name) WHERE user_name IS NOT NULL;

CREATE TABLE directory_groups (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  version      INTEGER NOT NULL,
  display_name TEXT    NOT NULL UNIQUE,
  external_id  TEXT,
  created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE provisioning_tokens (
  name       TEXT    NOT NULL PRIMARY KEY,
  token      BLOB    NOT NULL UNIQUE CHECK (length(token) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_idle_end ON sessions (idle_ends_at);
