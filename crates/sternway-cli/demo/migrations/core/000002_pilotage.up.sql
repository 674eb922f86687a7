-- Pilots stopped swapping shifts by telephone, so the office needs to know who is on which bridge.
CREATE TABLE IF NOT EXISTS pilot (
    id       bigserial PRIMARY KEY,
    licence  text    NOT NULL UNIQUE,
    name     text    NOT NULL,
    on_duty  boolean NOT NULL DEFAULT true
);

CREATE TABLE IF NOT EXISTS pilotage (
    id            bigserial,
    port_call_id  bigint      NOT NULL REFERENCES port_call (id) ON DELETE CASCADE,
    pilot_id      bigint      NOT NULL REFERENCES pilot (id),
    boards_at     timestamptz NOT NULL,
    inbound       boolean     NOT NULL,
    CONSTRAINT pilotage_pkey PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS pilotage_port_call_idx ON pilotage (port_call_id);
