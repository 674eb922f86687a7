CREATE FUNCTION @extschema@.NAME(data bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    all32 CONSTANT bigint := 4294967295;
    -- The data, a one, zeros, and the length in bits: blocks of 64 bytes.
    text CONSTANT bytea := data || '\x80'::bytea
        || decode(repeat('00', (119 - length(data) % 64) % 64), 'hex') || int8send(length(data) * 8::bigint);
    h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    v bigint[];
    w bigint[];
    f bigint;
    x bigint;
BEGIN
    FOR block IN 0 .. length(text) / 64 - 1 LOOP
        FOR t IN 0 .. 15 LOOP
            x := block * 64 + t * 4;
            w[t] := (get_byte(text, x::int)::bigint << 24) | (get_byte(text, x::int + 1) << 16)
                | (get_byte(text, x::int + 2) << 8) | get_byte(text, x::int + 3);
        END LOOP;
        FOR t IN 16 .. 79 LOOP
            x := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
            w[t] := ((x << 1) | (x >> 31)) & all32;
        END LOOP;
        v := h;
        FOR t IN 0 .. 79 LOOP
            f := CASE t / 20
                WHEN 0 THEN ((v[2] & v[3]) | (~v[2] & v[4])) + 1518500249
                WHEN 1 THEN (v[2] # v[3] # v[4]) + 1859775393
                WHEN 2 THEN ((v[2] & v[3]) | (v[2] & v[4]) | (v[3] & v[4])) + 2400959708
                ELSE (v[2] # v[3] # v[4]) + 3395469782 END;
            x := (((v[1] << 5) | (v[1] >> 27)) + f + v[5] + w[t]) & all32;
            v := ARRAY[x, v[1], ((v[2] << 30) | (v[2] >> 2)) & all32, v[3], v[4]];
        END LOOP;
        FOR i IN 1 .. 5 LOOP
            h[i] := (h[i] + v[i]) & all32;
        END LOOP;
    END LOOP;
    RETURN decode((SELECT string_agg(lpad(to_hex(word), 8, '0'), '' ORDER BY place)
                   FROM unnest(h) WITH ORDINALITY AS of(word, place)), 'hex');
END $$;
