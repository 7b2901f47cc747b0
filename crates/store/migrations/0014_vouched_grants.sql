-- Who vouched for the user of a grant, where that user was not asked here.
ALTER TABLE grants ADD COLUMN vouched TEXT;
