-- Clerks look for "that note about the crane" by meaning, so each note is kept with its embedding.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE IF NOT EXISTS log_note (
    id            bigserial PRIMARY KEY,
    port_call_id  bigint,
    author        text        NOT NULL,
    body          text        NOT NULL,
    visibility    text        NOT NULL,
    written_at    timestamptz NOT NULL,
    embedding     vector(8)
);

CREATE INDEX IF NOT EXISTS log_note_port_call_idx ON log_note (port_call_id);
