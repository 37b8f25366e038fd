-- Purpose: forget schedules that were deleted long ago, with their ticks; the runs that came of them stay.
-- Parameters: $1 age in seconds
-- Locks: schedules, then their ticks; nobody else writes to rows that are gone.
delete from schedules where gone_at < now() - make_interval(secs => $1)
