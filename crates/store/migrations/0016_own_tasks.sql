-- Tasks that agents made for themselves are forgotten once they are over and nothing that lasts names them.
CREATE INDEX tasks_own_by_end ON tasks (coalesce(ended_at, expires_at)) WHERE self_made = 1;
CREATE INDEX tokens_by_task ON tokens (task) WHERE task IS NOT NULL;
CREATE INDEX grants_by_task ON grants (task) WHERE task IS NOT NULL;
CREATE INDEX grants_by_subject_task ON grants (subject_task) WHERE subject_task IS NOT NULL;
