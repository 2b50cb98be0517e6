-- The document's encrypt_api_key with its name and signature, and the function that undoes it.
-- Not the document's body: its key stood in the schema, and raw encrypt() has neither a random start nor a check.
-- The key is the setting app.encryption_key (docs/security.md says where it comes from); without it both fail.
-- The extension pgcrypto is made by the ensure step, because it may not be allowed here.
CREATE FUNCTION encrypt_api_key(key TEXT)
RETURNS TEXT AS $$
DECLARE
    secret TEXT := NULLIF(current_setting('app.encryption_key', true), '');
BEGIN
    IF secret IS NULL THEN
        RAISE EXCEPTION 'app.encryption_key is not set'
            USING HINT = 'Set it for the session from a file or the environment, never in the schema.';
    END IF;
    RETURN translate(encode(pgp_sym_encrypt(key, secret, 'cipher-algo=aes256'), 'base64'), E'\n', '');
END;
$$ LANGUAGE plpgsql;

CREATE FUNCTION decrypt_api_key(encrypted TEXT)
RETURNS TEXT AS $$
DECLARE
    secret TEXT := NULLIF(current_setting('app.encryption_key', true), '');
BEGIN
    IF secret IS NULL THEN
        RAISE EXCEPTION 'app.encryption_key is not set'
            USING HINT = 'Set it for the session from a file or the environment, never in the schema.';
    END IF;
    RETURN pgp_sym_decrypt(decode(encrypted, 'base64'), secret);
END;
$$ LANGUAGE plpgsql;
