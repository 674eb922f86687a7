CREATE TABLE IF NOT EXISTS hive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    queen_since date
);
