-- Clerks may leave the visibility out, and a note that says nothing stays inside the office.
ALTER TABLE log_note ALTER COLUMN visibility SET DEFAULT 'office';
