-- Every call already in the book was handled in turn; say so before a priority becomes mandatory.
ALTER TABLE port_call ADD COLUMN IF NOT EXISTS priority text;

UPDATE port_call SET priority = 'in_turn' WHERE priority IS NULL;

ALTER TABLE port_call
    ALTER COLUMN priority SET DEFAULT 'in_turn',
    ALTER COLUMN priority SET NOT NULL;
