-- Radio, web form or agent: disputes turn on how a thing was reported. Old rows stay unknown.
ALTER TABLE port_call ADD COLUMN IF NOT EXISTS reported_via text;
ALTER TABLE cargo ADD COLUMN IF NOT EXISTS reported_via text;
