CREATE FUNCTION @extschema@.digest(bytea, text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE lower($2)
        WHEN 'md5' THEN decode(md5($1), 'hex')
        WHEN 'sha1' THEN @extschema@.NAME($1)
        WHEN 'sha224' THEN sha224($1)
        WHEN 'sha256' THEN sha256($1)
        WHEN 'sha384' THEN sha384($1)
        WHEN 'sha512' THEN sha512($1) END;
END $$;

CREATE FUNCTION @extschema@.digest(text, text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT @extschema@.digest(convert_to($1, getdatabaseencoding()), $2)$$;

CREATE FUNCTION @extschema@.hmac(bytea, bytea, text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    size CONSTANT int := CASE WHEN lower($3) IN ('sha384', 'sha512') THEN 128 ELSE 64 END;
    key bytea := CASE WHEN length($2) > size THEN @extschema@.digest($2, $3) ELSE $2 END;
    inner_key bytea := decode(repeat('36', size), 'hex');
    outer_key bytea := decode(repeat('5c', size), 'hex');
BEGIN
    FOR i IN 0 .. length(key) - 1 LOOP
        inner_key := set_byte(inner_key, i, get_byte(inner_key, i) # get_byte(key, i));
        outer_key := set_byte(outer_key, i, get_byte(outer_key, i) # get_byte(key, i));
    END LOOP;
    RETURN @extschema@.digest(outer_key || @extschema@.digest(inner_key || $1, $3), $3);
END $$;

CREATE FUNCTION @extschema@.hmac(text, text, text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$SELECT @extschema@.hmac(convert_to($1, getdatabaseencoding()), convert_to($2, getdatabaseencoding()), $3)$$;

CREATE FUNCTION @extschema@.gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$SELECT pg_catalog.gen_random_uuid()$$;

CREATE FUNCTION @extschema@.gen_random_bytes(int4) RETURNS bytea LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE AS $$
BEGIN
    IF $1 NOT BETWEEN 1 AND 1024 THEN
        RAISE EXCEPTION 'Length not in range';
    END IF;
    RETURN (SELECT substr(string_agg(sha256(uuid_send(pg_catalog.gen_random_uuid()) || uuid_send(pg_catalog.gen_random_uuid())), ''::bytea), 1, $1)
            FROM generate_series(0, $1 / 32));
END $$;

-- What cannot be computed here says so where it is called.
DO $do$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'crypt(text, text) RETURNS text IMMUTABLE',
        'gen_salt(text) RETURNS text VOLATILE',
        'gen_salt(text, int4) RETURNS text VOLATILE',
        'encrypt(bytea, bytea, text) RETURNS bytea IMMUTABLE',
        'decrypt(bytea, bytea, text) RETURNS bytea IMMUTABLE',
        'encrypt_iv(bytea, bytea, bytea, text) RETURNS bytea IMMUTABLE',
        'decrypt_iv(bytea, bytea, bytea, text) RETURNS bytea IMMUTABLE',
        'pgp_sym_encrypt(text, text) RETURNS bytea VOLATILE',
        'pgp_sym_encrypt_bytea(bytea, text) RETURNS bytea VOLATILE',
        'pgp_sym_encrypt(text, text, text) RETURNS bytea VOLATILE',
        'pgp_sym_encrypt_bytea(bytea, text, text) RETURNS bytea VOLATILE',
        'pgp_sym_decrypt(bytea, text) RETURNS text IMMUTABLE',
        'pgp_sym_decrypt_bytea(bytea, text) RETURNS bytea IMMUTABLE',
        'pgp_sym_decrypt(bytea, text, text) RETURNS text IMMUTABLE',
        'pgp_sym_decrypt_bytea(bytea, text, text) RETURNS bytea IMMUTABLE',
        'pgp_pub_encrypt(text, bytea) RETURNS bytea VOLATILE',
        'pgp_pub_encrypt_bytea(bytea, bytea) RETURNS bytea VOLATILE',
        'pgp_pub_encrypt(text, bytea, text) RETURNS bytea VOLATILE',
        'pgp_pub_encrypt_bytea(bytea, bytea, text) RETURNS bytea VOLATILE',
        'pgp_pub_decrypt(bytea, bytea) RETURNS text IMMUTABLE',
        'pgp_pub_decrypt_bytea(bytea, bytea) RETURNS bytea IMMUTABLE',
        'pgp_pub_decrypt(bytea, bytea, text) RETURNS text IMMUTABLE',
        'pgp_pub_decrypt_bytea(bytea, bytea, text) RETURNS bytea IMMUTABLE',
        'pgp_pub_decrypt(bytea, bytea, text, text) RETURNS text IMMUTABLE',
        'pgp_pub_decrypt_bytea(bytea, bytea, text, text) RETURNS bytea IMMUTABLE',
        'pgp_key_id(bytea) RETURNS text IMMUTABLE',
        'armor(bytea) RETURNS text IMMUTABLE',
        'armor(bytea, text[], text[]) RETURNS text IMMUTABLE',
        'dearmor(text) RETURNS bytea IMMUTABLE',
        'pgp_armor_headers(text, key OUT text, value OUT text) RETURNS SETOF record IMMUTABLE'
    ] LOOP
        EXECUTE 'CREATE FUNCTION @extschema@.' || signature || ' STRICT PARALLEL SAFE LANGUAGE plpgsql AS '
            || quote_literal('BEGIN RAISE feature_not_supported USING MESSAGE = '
                || quote_literal(format('the PostgreSQL inside Sternway has no %s() of the extension pgcrypto', split_part(signature, '(', 1)))
                || '; END');
    END LOOP;
END $do$;
