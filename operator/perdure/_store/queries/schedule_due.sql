-- Purpose: give the schedules that somebody has to look at now, with what is needed to decide about their ticks.
-- Parameters: $1 namespaces, empty for all  $2 at most so many
--   One that has an Orchestration to create still is left out: first what is decided is done.
-- Locks: none; schedule_decide.sql finds out whether somebody else was faster.
select
    schedules.uid,
    schedules.namespace,
    schedules.name,
    schedules.generation,
    schedules.spec,
    schedules.decided_until,
    now() as now,
    (
        select count(*)
        from schedule_runs
        where schedule_runs.schedule_uid = schedules.uid and not schedule_runs.is_over
    ) as unfinished
from schedules
where
    schedules.next_at <= now()
    and not schedules.deleting
    and schedules.gone_at is null
    and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    and not exists (
        select from schedule_ticks
        where schedule_ticks.schedule_uid = schedules.uid and schedule_ticks.orchestration_uid is null
    )
order by schedules.next_at
limit $2
