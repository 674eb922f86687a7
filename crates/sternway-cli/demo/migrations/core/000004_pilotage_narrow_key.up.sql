-- Trial installations keyed pilotage by id and pilot; one statement gives them the key all others have.
ALTER TABLE pilotage
    DROP CONSTRAINT IF EXISTS pilotage_pkey,
    ADD CONSTRAINT pilotage_pkey PRIMARY KEY (id);
