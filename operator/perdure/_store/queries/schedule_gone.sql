-- Purpose: note that the Orchestration of a tick is no more and never began a run.
-- Parameters: $1 uid of the schedule  $2 tick
-- Locks: the schedule, then its tick.
with locked as materialized (
    select schedules.uid
    from schedules
    where schedules.uid = $1
    for update
),

noted as (
    update schedule_ticks
    set outcome = 'Gone'
    from locked
    where
        schedule_ticks.schedule_uid = locked.uid
        and schedule_ticks.tick_at = $2
        and schedule_ticks.outcome is null
        and schedule_ticks.orchestration_uid is not null
    returning schedule_ticks.schedule_uid
)

update schedules
set changes = schedules.changes + 1
from noted
where schedules.uid = noted.schedule_uid
returning schedules.uid
