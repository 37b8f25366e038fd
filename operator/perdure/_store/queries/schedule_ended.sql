-- Purpose: note how the runs of schedules have ended, and that an Orchestration is gone that never began one, or whose run was
--   removed before anybody noted its end.
-- Parameters: $1 namespaces, empty for all
-- Locks: schedules by uid, then their ticks.
with over as (
    select schedule_runs.schedule_uid, schedule_runs.tick_at, schedule_runs.phase, schedule_runs.finished_at
    from schedule_runs
    inner join schedules on schedules.uid = schedule_runs.schedule_uid
    where
        schedule_runs.is_over
        and schedules.gone_at is null
        and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
),

locked as materialized (
    select over.*
    from over
    inner join schedules on schedules.uid = over.schedule_uid
    order by over.schedule_uid, over.tick_at
    for update of schedules
),

noted as (
    update schedule_ticks
    set outcome = coalesce(locked.phase, 'Gone')
    from locked
    where
        schedule_ticks.schedule_uid = locked.schedule_uid
        and schedule_ticks.tick_at = locked.tick_at
        and schedule_ticks.outcome is null
    returning schedule_ticks.schedule_uid, schedule_ticks.outcome, locked.finished_at
),

told as (
    select
        noted.schedule_uid,
        max(noted.finished_at) filter (where noted.outcome = 'Completed') as successful_at
    from noted
    group by noted.schedule_uid
)

update schedules
set
    last_successful_at = greatest(schedules.last_successful_at, told.successful_at),
    changes = schedules.changes + 1
from told
where schedules.uid = told.schedule_uid
returning schedules.uid
