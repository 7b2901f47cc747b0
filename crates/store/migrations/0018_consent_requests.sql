-- Requests for consent that users answer apart from the client, by the digests of what the client holds and of what the
-- user types in.
CREATE TABLE consent_requests (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  kind       TEXT    NOT NULL,
  secret     BLOB    NOT NULL UNIQUE CHECK (length(secret) = 32),
  user_code  BLOB    UNIQUE,
  client     TEXT    NOT NULL REFERENCES agents (name),
  user_id    TEXT REFERENCES users (id),
  asked      TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  status     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX consent_requests_by_client ON consent_requests (client, state);
CREATE INDEX consent_requests_by_user ON consent_requests (user_id, state);
CREATE INDEX consent_requests_by_end ON consent_requests (expires_at);
