CREATE TABLE IF NOT EXISTS honey (
    hive_id bigint NOT NULL,
    taken_on date NOT NULL,
    kilograms numeric(6, 2) NOT NULL CHECK (kilograms > 0),
    PRIMARY KEY (hive_id, taken_on)
);
