-- Accounts of other providers by which users sign in: issuer and subject, and nothing else, name one. Whoever leaves keeps
-- theirs, so that nobody comes back by it as somebody new.
CREATE TABLE identities (
  issuer     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  user_id    TEXT    NOT NULL REFERENCES users (id),
  linked_by  TEXT    NOT NULL CHECK (linked_by IN ('operator', 'match', 'creation')),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX identities_by_user ON identities (user_id, created_at);
