-- The tools and arguments that a grant is for, and tasks that agents made for themselves.
ALTER TABLE grants ADD COLUMN details TEXT;
ALTER TABLE tasks ADD COLUMN self_made INTEGER NOT NULL DEFAULT 0 CHECK (self_made IN (0, 1));
