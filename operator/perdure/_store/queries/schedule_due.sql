-- Purpose: give the schedules that somebody has to look at now, with what is needed to decide about their ticks.
-- Parameters: $1 namespaces, empty for all  $2 at most so many
--   One that has an Orchestration to create still is left out: first what is decided is done. A run counts as unfinished
--   until its instance has ended, whatever became of its resource; one that has none yet is about to begin.
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
        from schedule_ticks
        left join resources on resources.uid = schedule_ticks.orchestration_uid
        cross join lateral (
            select bool_and(instances.finished_at is not null) as are_over
            from instances
            where instances.resource_uid = schedule_ticks.orchestration_uid
        ) as runs
        where
            schedule_ticks.schedule_uid = schedules.uid
            and schedule_ticks.outcome is null
            and not coalesce(runs.are_over, resources.gone_at is not null or resources.instance_id is not null)
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
