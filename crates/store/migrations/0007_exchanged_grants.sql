-- The token that a grant was exchanged for, and the task that one was bound to: it ends with either.
ALTER TABLE grants ADD COLUMN subject_token BLOB;
ALTER TABLE grants ADD COLUMN subject_task BLOB;
