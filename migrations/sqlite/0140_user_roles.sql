-- Ours: the column that binds a user to a role of a server. A file has no roles: whoever reads it, reads all of it.
ALTER TABLE users ADD COLUMN db_role TEXT;
