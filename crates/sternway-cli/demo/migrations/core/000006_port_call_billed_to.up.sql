-- Dues go to whoever the call is for; infer it from the cargo only where a single consignee leaves no doubt.
ALTER TABLE port_call ADD COLUMN IF NOT EXISTS billed_to text;

UPDATE port_call
SET billed_to = sole.consignee
FROM (
    SELECT port_call_id, min(consignee) AS consignee
    FROM cargo
    GROUP BY port_call_id
    HAVING count(DISTINCT consignee) = 1
) AS sole
WHERE sole.port_call_id = port_call.id
  AND port_call.billed_to IS NULL;
