-- Purpose: tell whether anybody ever migrated this database.
-- Parameters: none.
-- Locks: none.
select to_regclass('perdure_migrations') is not null;
