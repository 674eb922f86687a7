-- The older office serves ships in turn and has no place to write anything else.
ALTER TABLE port_call DROP COLUMN IF EXISTS priority;
