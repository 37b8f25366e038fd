-- Purpose: give what is known of these signal resources from earlier sights.
-- Parameters: $1 uids.
-- Locks: none; the caller holds the lock of sight_lock.sql, so that nobody else takes in anything.
select uid, generation, deleting, gone_at is not null as gone
from signal_resources
where uid = any($1::uuid[])
