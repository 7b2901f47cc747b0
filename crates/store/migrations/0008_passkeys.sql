-- The public halves of users' passkeys, and one-time links by the digest of their token.
CREATE TABLE passkeys (
  credential   BLOB    NOT NULL PRIMARY KEY,
  user_id      TEXT    NOT NULL REFERENCES users (id),
  name         TEXT    NOT NULL,
  record       TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER
) STRICT;
CREATE INDEX passkeys_by_user ON passkeys (user_id, created_at);

CREATE TABLE invitations (
  user_id    TEXT    NOT NULL PRIMARY KEY REFERENCES users (id),
  token      BLOB    NOT NULL UNIQUE CHECK (length(token) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
