-- Purpose: ask the database for the time.
-- Parameters: none.
-- Locks: none.
select clock_timestamp() as now
