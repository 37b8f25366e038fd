-- Purpose: forget ticks whose Orchestrations are gone and whose runs have ended: nothing of them is shown or deleted any more.
-- Parameters, one array element per tick: $1 uid of the schedule  $2 tick
-- Locks: schedules by uid, then their ticks.
with locked as materialized (
    select schedules.uid, tidied.tick_at
    from unnest($1::uuid[], $2::timestamptz[]) as tidied (schedule_uid, tick_at)
    inner join schedules on schedules.uid = tidied.schedule_uid
    order by schedules.uid, tidied.tick_at
    for update of schedules
)

delete from schedule_ticks
using locked
where
    schedule_ticks.schedule_uid = locked.uid
    and schedule_ticks.tick_at = locked.tick_at
    and schedule_ticks.outcome is not null
