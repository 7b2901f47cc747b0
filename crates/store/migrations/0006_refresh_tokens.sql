-- Refresh tokens, by the digest of what the client holds; those that were used up stay until their grant would end, so
-- that using one again is noticed. And what each access token is for.
CREATE TABLE refresh_tokens (
  digest       BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  grant_id     BLOB    NOT NULL REFERENCES grants (id),
  number       INTEGER NOT NULL,
  confirmation TEXT,
  issued_at    INTEGER NOT NULL,
  used_at      INTEGER,
  expires_at   INTEGER NOT NULL,
  UNIQUE (grant_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

ALTER TABLE tokens ADD COLUMN audience TEXT NOT NULL DEFAULT '';
