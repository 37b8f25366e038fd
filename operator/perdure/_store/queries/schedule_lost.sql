-- Purpose: give the Orchestrations that were created a while ago and that nobody has seen since: deleted before anybody
--   looked, or still to be seen.
-- Parameters: $1 namespaces, empty for all  $2 so many seconds ago
-- Locks: none.
select
    schedule_runs.schedule_uid,
    schedule_runs.tick_at,
    schedules.namespace,
    schedule_runs.name as orchestration,
    schedule_runs.orchestration_uid
from schedule_runs
inner join schedules on schedules.uid = schedule_runs.schedule_uid
where
    schedule_runs.is_unseen
    and schedule_runs.created_at < now() - make_interval(secs => $2)
    and schedules.gone_at is null
    and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
