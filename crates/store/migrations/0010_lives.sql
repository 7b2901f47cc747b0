-- When an agent is suspended unless somebody reviews it, or takes it over from an owner who left. And what finds the grants
-- whose rows may go.
ALTER TABLE agents ADD COLUMN review_by INTEGER NOT NULL DEFAULT 0;
UPDATE agents SET review_by = expires_at;
ALTER TABLE agents ADD COLUMN successor_by INTEGER;

DROP INDEX grants_active;
CREATE INDEX grants_by_end ON grants (expires_at);
CREATE INDEX grants_by_parent ON grants (parent) WHERE parent IS NOT NULL;
