-- Identifiers that were used up, in the order in which they may be forgotten: what arrives together lies together, so
-- that a commit writes a page of them and not a page for each. That none is there twice is seen to by the writer, which
-- keeps them in memory.
CREATE TABLE spent_in_order (
  forget_at INTEGER NOT NULL,
  scope     TEXT    NOT NULL,
  jti       BLOB    NOT NULL,
  PRIMARY KEY (forget_at, scope, jti)
) STRICT, WITHOUT ROWID;
INSERT INTO spent_in_order (forget_at, scope, jti) SELECT forget_at, scope, jti FROM spent;
DROP TABLE spent;
ALTER TABLE spent_in_order RENAME TO spent;
