-- Accounts at systems that hold their own users: tokens sealed under the user's key. One that ended stays, for nobody's use,
-- until its server took its tokens back.
CREATE TABLE connections (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  user_id      TEXT    NOT NULL REFERENCES users (id),
  system       TEXT    NOT NULL,
  binding      BLOB    NOT NULL CHECK (length(binding) = 32),
  scopes       TEXT    NOT NULL,
  sealed       BLOB    NOT NULL,
  version      INTEGER NOT NULL,
  connected_at INTEGER NOT NULL,
  renewed_at   INTEGER NOT NULL,
  expires_at   INTEGER,
  ended_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX connections_in_use ON connections (user_id, system) WHERE ended_at IS NULL;
CREATE INDEX connections_ended ON connections (ended_at) WHERE ended_at IS NOT NULL;
