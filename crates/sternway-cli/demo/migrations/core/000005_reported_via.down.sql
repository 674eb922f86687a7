-- Both tables forget the channel together, as they learned it.
ALTER TABLE cargo DROP COLUMN IF EXISTS reported_via;
ALTER TABLE port_call DROP COLUMN IF EXISTS reported_via;
