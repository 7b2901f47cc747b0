-- By what clients register themselves, and by what each of them manages its registration: digests alone.
CREATE TABLE registration_tokens (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  digest     BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  terms      TEXT    NOT NULL,
  uses       INTEGER NOT NULL,
  uses_max   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX registration_tokens_by_end ON registration_tokens (expires_at);

CREATE TABLE registration_access (
  agent  TEXT NOT NULL PRIMARY KEY REFERENCES agents (name),
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32)
) STRICT;
