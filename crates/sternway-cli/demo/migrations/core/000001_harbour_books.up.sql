-- The four books the office kept on paper: berths, ships, port calls and what was landed.
CREATE TABLE IF NOT EXISTS berth (
    id        bigserial PRIMARY KEY,
    code      text    NOT NULL UNIQUE,
    quay      text    NOT NULL,
    length_m  integer NOT NULL,
    depth_cm  integer NOT NULL
);

CREATE TABLE IF NOT EXISTS ship (
    id          bigserial PRIMARY KEY,
    imo_number  bigint  NOT NULL UNIQUE,
    name        text    NOT NULL,
    operator    text    NOT NULL,
    length_m    integer NOT NULL
);

CREATE TABLE IF NOT EXISTS port_call (
    id          bigserial PRIMARY KEY,
    reference   text        NOT NULL UNIQUE,
    ship_id     bigint      NOT NULL REFERENCES ship (id),
    berth_id    bigint      REFERENCES berth (id),
    arrives_at  timestamptz NOT NULL,
    departs_at  timestamptz,
    remarks     text        NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS cargo (
    id            bigserial PRIMARY KEY,
    port_call_id  bigint NOT NULL REFERENCES port_call (id) ON DELETE CASCADE,
    goods         text   NOT NULL,
    weight_kg     bigint NOT NULL,
    consignee     text   NOT NULL
);

CREATE INDEX IF NOT EXISTS port_call_ship_idx ON port_call (ship_id);
CREATE INDEX IF NOT EXISTS cargo_port_call_idx ON cargo (port_call_id);
