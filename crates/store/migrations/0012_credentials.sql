-- What an agent proves itself by is no longer a key alone. What it consists of stands as one JSON value, so that a
-- further kind needs no further column.
CREATE TABLE credentials_next (
  agent         TEXT    NOT NULL REFERENCES agents (name),
  thumbprint    TEXT    NOT NULL,
  place         INTEGER NOT NULL,
  authenticator TEXT    NOT NULL,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  last_used_at  INTEGER,
  PRIMARY KEY (agent, thumbprint)
) STRICT;

INSERT INTO credentials_next (agent, thumbprint, place, authenticator, created_at, expires_at, last_used_at)
  SELECT agent, thumbprint, place,
    json_object('key', json_object('kid', kid, 'algorithm', algorithm, 'thumbprint', thumbprint, 'jwk', jwk)),
    created_at, expires_at, last_used_at
  FROM credentials;

DROP TABLE credentials;
ALTER TABLE credentials_next RENAME TO credentials;
