-- Purpose: give the schedules that have something to show or to tidy up, with the ticks whose Orchestrations are there.
-- Parameters: $1 namespaces, empty for all  $2 uids to leave out  $3 at most so many
--   Ticks come as arrays, in order: tick_at, names, orchestration_uids, outcomes, and whether the Orchestration is gone.
-- Locks: none.
select
    schedules.uid,
    schedules.namespace,
    schedules.name,
    schedules.generation,
    schedules.spec,
    schedules.decided_until,
    schedules.last_tick_at,
    schedules.last_successful_at,
    schedules.missed,
    schedules.missed_tick_at,
    schedules.missed_reason,
    schedules.missed_message,
    schedules.problem_reason,
    schedules.problem_message,
    schedules.changes,
    schedules.status,
    schedules.status_resource_version,
    now() as now,
    ticks.*
from schedules
cross join lateral (
    select
        array_agg(schedule_ticks.tick_at order by schedule_ticks.tick_at) as ticks,
        array_agg(schedule_ticks.name order by schedule_ticks.tick_at) as names,
        array_agg(schedule_ticks.orchestration_uid order by schedule_ticks.tick_at) as orchestration_uids,
        array_agg(schedule_ticks.outcome order by schedule_ticks.tick_at) as outcomes,
        array_agg(
            resources.gone_at is not null or (resources.uid is null and schedule_ticks.outcome is not null)
            order by schedule_ticks.tick_at
        ) as are_gone
    from schedule_ticks
    left join resources on resources.uid = schedule_ticks.orchestration_uid
    where schedule_ticks.schedule_uid = schedules.uid
) as ticks
where
    schedules.changes <> schedules.shown_changes
    and schedules.gone_at is null
    and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    and schedules.uid <> all($2::uuid[])
order by schedules.uid
limit $3
