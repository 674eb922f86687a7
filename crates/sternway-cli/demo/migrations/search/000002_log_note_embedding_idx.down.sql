-- Searching still works without it, only slower.
DROP INDEX IF EXISTS log_note_embedding_idx;
