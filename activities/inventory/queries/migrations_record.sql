-- Purpose: record that a migration was applied, in its own transaction.
-- Parameters: $1 number, $2 name, $3 checksum (sha256 of the file, hex).
-- Locks: the new row; the caller holds the migration lock.
insert into inventory.migrations (number, name, checksum) values ($1, $2, $3);
