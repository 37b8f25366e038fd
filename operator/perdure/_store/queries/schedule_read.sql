-- Purpose: give what is known of these schedules from earlier sights.
-- Parameters: $1 uids.
-- Locks: none; the caller holds the lock of sight_lock.sql, so that nobody else takes in anything.
select uid, generation, spec, deleting, gone_at is not null as gone
from schedules
where uid = any($1::uuid[])
