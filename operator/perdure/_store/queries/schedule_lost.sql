-- Purpose: give the Orchestrations that were created a while ago and that nobody has seen since: deleted before anybody
--   looked, or still to be seen.
-- Parameters: $1 namespaces, empty for all  $2 so many seconds ago
-- Locks: none.
select
    schedule_ticks.schedule_uid,
    schedule_ticks.tick_at,
    schedules.namespace,
    schedule_ticks.name as orchestration,
    schedule_ticks.orchestration_uid
from schedule_ticks
inner join schedules on schedules.uid = schedule_ticks.schedule_uid
where
    schedule_ticks.outcome is null
    and schedule_ticks.created_at < now() - make_interval(secs => $2)
    and schedules.gone_at is null
    and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    and not exists (select from resources where resources.uid = schedule_ticks.orchestration_uid)
    and not exists (select from instances where instances.resource_uid = schedule_ticks.orchestration_uid)
