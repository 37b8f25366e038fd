-- Purpose: tell whether anybody ever made the inventory in this database.
-- Parameters: none.
-- Locks: none.
select exists (
    -- Read as rows: to_regclass would answer from what this session has looked up before it waited for the lock.
    select from pg_catalog.pg_tables where schemaname = 'inventory' and tablename = 'migrations'
) as is_there;
