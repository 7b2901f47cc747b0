-- When an operator took an account of a provider away. Its row stays, so that nothing leads from the account to its user again.
ALTER TABLE identities ADD COLUMN removed_at INTEGER;
