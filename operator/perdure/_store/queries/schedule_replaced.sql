-- Purpose: give the Orchestrations of a schedule that are to make room: unfinished, created, and not asked to end yet.
-- Parameters: $1 uid of the schedule  $2 the tick that takes their place
-- Locks: none.
select name, orchestration_uid
from schedule_runs
where schedule_uid = $1 and tick_at < $2 and may_be_cancelled and not is_over
order by tick_at
