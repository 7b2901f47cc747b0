-- Where an agent may have users sent back to who were asked for their consent.
ALTER TABLE agents ADD COLUMN redirect_uris TEXT NOT NULL DEFAULT '[]';
