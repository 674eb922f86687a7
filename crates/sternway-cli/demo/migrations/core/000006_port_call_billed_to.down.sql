-- The clerks' corrections go with the column; a later upgrade can only infer it again.
ALTER TABLE port_call DROP COLUMN IF EXISTS billed_to;
