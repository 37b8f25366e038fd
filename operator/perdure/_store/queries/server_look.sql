-- Purpose: ask a server for its version, its time, and whether it only reads. Needs no table.
-- Parameters: none.
-- Locks: none.
select
    current_setting('server_version_num')::int as version,
    clock_timestamp() as now,
    pg_is_in_recovery() or current_setting('transaction_read_only')::bool as is_read_only
