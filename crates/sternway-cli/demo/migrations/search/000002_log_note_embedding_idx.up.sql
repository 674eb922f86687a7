-- Past a few thousand notes a full scan is felt at the counter; the nearest ones need a graph.
CREATE INDEX IF NOT EXISTS log_note_embedding_idx
    ON log_note USING hnsw (embedding vector_cosine_ops);
