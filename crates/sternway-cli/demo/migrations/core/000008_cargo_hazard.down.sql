-- The rule before its columns, the columns before their type.
ALTER TABLE cargo DROP CONSTRAINT IF EXISTS cargo_un_number_check;
ALTER TABLE cargo DROP COLUMN IF EXISTS un_number;
ALTER TABLE cargo DROP COLUMN IF EXISTS hazard;
DROP TYPE IF EXISTS cargo_hazard;
