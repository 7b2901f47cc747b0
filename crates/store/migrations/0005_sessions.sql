-- Users who are signed in, one row per browser, by the digest of the token that it brings.
CREATE TABLE sessions (
  id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  token          BLOB    NOT NULL UNIQUE CHECK (length(token) = 32),
  user_id        TEXT    NOT NULL REFERENCES users (id),
  authentication TEXT    NOT NULL,
  created_at     INTEGER NOT NULL,
  idle_ends_at   INTEGER NOT NULL,
  ends_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_end ON sessions (ends_at);
