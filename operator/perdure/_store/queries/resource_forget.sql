-- Purpose: forget resources that were deleted long ago; their runs and run numbers stay.
-- Parameters: $1 age in seconds
-- Locks: resources; nobody else writes to rows that are gone.
delete from resources where gone_at < now() - make_interval(secs => $1)
