-- Purpose: give the ticks that are run and whose Orchestration is not known to be there: the newest decisions, and what a
--   crash has left.
-- Parameters: $1 namespaces, empty for all  $2 uids of schedules to leave out  $3 at most so many
--   `seen_uid` is that of the Orchestration when a run of its name was begun already: its creation was not remembered.
-- Locks: none.
select
    schedule_ticks.schedule_uid,
    schedule_ticks.tick_at,
    schedule_ticks.name as orchestration,
    schedules.namespace,
    schedules.name,
    schedules.spec,
    now() as now,
    (
        select instances.resource_uid
        from resource_runs
        inner join instances
            on instances.instance_id
            = format('%s/%s:%s', resource_runs.namespace, resource_runs.name, resource_runs.last_run)
        where resource_runs.namespace = schedules.namespace and resource_runs.name = schedule_ticks.name
    ) as seen_uid
from schedule_ticks
inner join schedules on schedules.uid = schedule_ticks.schedule_uid
where
    schedule_ticks.orchestration_uid is null
    and not schedules.deleting
    and schedules.gone_at is null
    and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    and schedules.uid <> all($2::uuid[])
order by schedule_ticks.decided_at, schedule_ticks.tick_at
limit $3
