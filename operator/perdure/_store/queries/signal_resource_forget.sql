-- Purpose: forget signal resources that were deleted long ago.
-- Parameters: $1 age in seconds
-- Locks: signal_resources; nobody else writes to rows that are gone.
delete from signal_resources where gone_at < now() - make_interval(secs => $1)
