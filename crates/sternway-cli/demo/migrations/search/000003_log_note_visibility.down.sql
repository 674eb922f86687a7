-- Older releases name the visibility of every note themselves.
ALTER TABLE log_note ALTER COLUMN visibility DROP DEFAULT;
