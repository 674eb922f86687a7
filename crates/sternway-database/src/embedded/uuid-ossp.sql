CREATE FUNCTION @extschema@.uuid_nil() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT '00000000-0000-0000-0000-000000000000'::uuid$$;

CREATE FUNCTION @extschema@.uuid_ns_dns() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid$$;

CREATE FUNCTION @extschema@.uuid_ns_url() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid$$;

CREATE FUNCTION @extschema@.uuid_ns_oid() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid$$;

CREATE FUNCTION @extschema@.uuid_ns_x500() RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid$$;

-- Both have a random node: this program has no network card.
CREATE FUNCTION @extschema@.uuid_generate_v1mc() RETURNS uuid LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE AS $$
DECLARE
    -- Tenths of microseconds since the Gregorian calendar began.
    ticks CONSTANT text := lpad(to_hex((extract(epoch FROM clock_timestamp()) * 10000000)::bigint + 122192928000000000), 15, '0');
    other CONSTANT text := gen_random_uuid()::text;
BEGIN
    RETURN substr(ticks, 8) || '-' || substr(ticks, 4, 4) || '-1' || substr(ticks, 1, 3) || substr(other, 19, 7)
        || translate(substr(other, 26, 1), '02468ace', '13579bdf') || substr(other, 27);
END $$;

CREATE FUNCTION @extschema@.uuid_generate_v1() RETURNS uuid LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
AS $$SELECT @extschema@.uuid_generate_v1mc()$$;

CREATE FUNCTION @extschema@.uuid_generate_v3(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    hash CONSTANT bytea := decode(md5(uuid_send(namespace) || convert_to(name, 'UTF8')), 'hex');
BEGIN
    RETURN encode(set_byte(set_byte(hash, 6, get_byte(hash, 6) & 15 | 48), 8, get_byte(hash, 8) & 63 | 128), 'hex');
END $$;

CREATE FUNCTION @extschema@.uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
AS $$SELECT gen_random_uuid()$$;

CREATE FUNCTION @extschema@.uuid_generate_v5(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    hash CONSTANT bytea := substr(@extschema@.NAME(uuid_send(namespace) || convert_to(name, 'UTF8')), 1, 16);
BEGIN
    RETURN encode(set_byte(set_byte(hash, 6, get_byte(hash, 6) & 15 | 80), 8, get_byte(hash, 8) & 63 | 128), 'hex');
END $$;
