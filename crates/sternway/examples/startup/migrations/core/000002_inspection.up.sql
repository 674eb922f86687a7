CREATE TABLE IF NOT EXISTS inspection (
    hive_id bigint NOT NULL REFERENCES hive (id) ON DELETE CASCADE,
    seen_on date NOT NULL,
    frames_of_brood integer NOT NULL CHECK (frames_of_brood >= 0),
    PRIMARY KEY (hive_id, seen_on)
);
