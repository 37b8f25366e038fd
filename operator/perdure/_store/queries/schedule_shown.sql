-- Purpose: remember the status that the API server took. Of two writers the higher resource version wins; a lower one is
--   taken from whom nobody wrote beside (an API server restored from a backup counts from lower on).
-- Parameters: $1 uid  $2 status (JSON)  $3 changes that it shows  $4 resource version  $5 the one remembered when the
--   writer looked, or null
-- Plain: $2 says when, and nothing of what is run.
-- Locks: the schedule.
update schedules
set status = $2::bytea, shown_changes = $3, status_resource_version = $4
where
    uid = $1
    and (coalesce(status_resource_version, -1) <= $4 or status_resource_version = $5)
returning uid
