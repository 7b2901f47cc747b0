-- How an agent's keys must be kept, and what the makers of devices say of them: the certificates, as `x5c` has them.
ALTER TABLE agents ADD COLUMN key_protection TEXT NOT NULL DEFAULT 'any';
ALTER TABLE credentials ADD COLUMN attestation TEXT;
