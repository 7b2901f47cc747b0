-- Observations that were turned on, with the calls that went through under them. One whose end has passed covers nothing.
CREATE TABLE observations (
  scope       TEXT    NOT NULL PRIMARY KEY,
  production  INTEGER NOT NULL CHECK (production IN (0, 1)),
  reason      TEXT    NOT NULL,
  since_at    INTEGER NOT NULL,
  until_at    INTEGER NOT NULL CHECK (until_at > since_at),
  would_allow INTEGER NOT NULL DEFAULT 0,
  would_ask   INTEGER NOT NULL DEFAULT 0,
  would_deny  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
