-- Purpose: give the Orchestrations of a schedule that are to make room: unfinished, created, and not asked to end yet.
-- Parameters: $1 uid of the schedule  $2 the tick that takes their place
-- Locks: none.
select schedule_ticks.name, schedule_ticks.orchestration_uid
from schedule_ticks
left join resources on resources.uid = schedule_ticks.orchestration_uid
cross join lateral (
    select bool_and(instances.finished_at is not null) as are_over
    from instances
    where instances.resource_uid = schedule_ticks.orchestration_uid
) as runs
where
    schedule_ticks.schedule_uid = $1
    and schedule_ticks.tick_at < $2
    and schedule_ticks.outcome is null
    and schedule_ticks.orchestration_uid is not null
    and resources.cancel_reason is null
    and resources.gone_at is null
    and not coalesce(runs.are_over, false)
order by schedule_ticks.tick_at
