-- The extension came with the notes and goes after them, because their column is made of it.
DROP TABLE IF EXISTS log_note;
DROP EXTENSION IF EXISTS vector;
