-- Purpose: read instances as people see them, and where they stand.
-- Parameters: $1 instance_ids text[].
-- Locks: none.
select
    instance_id, name, version, phase, execution, hold_reason, input, output, error, custom_status,
    created_at, started_at, finished_at, parent_id, is_suspended, suspend_reason, buffered_signals,
    turn, parent_seq
from instances
where instance_id = any($1::text[])
