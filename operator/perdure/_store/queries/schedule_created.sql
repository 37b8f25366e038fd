-- Purpose: remember that the Orchestrations of ticks are there; a second time changes nothing.
-- Parameters, one array element per tick: $1 uid of the schedule  $2 tick  $3 uid of the Orchestration
-- Locks: schedules by uid, then their ticks.
with locked as materialized (
    select schedules.uid, created.tick_at, created.orchestration_uid
    from unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) as created (schedule_uid, tick_at, orchestration_uid)
    inner join schedules on schedules.uid = created.schedule_uid
    order by schedules.uid, created.tick_at
    for update of schedules
),

noted as (
    update schedule_ticks
    set orchestration_uid = locked.orchestration_uid, created_at = now()
    from locked
    where
        schedule_ticks.schedule_uid = locked.uid
        and schedule_ticks.tick_at = locked.tick_at
        and schedule_ticks.orchestration_uid is null
    returning schedule_ticks.schedule_uid
)

update schedules
set changes = schedules.changes + 1, problem_reason = '', problem_message = ''
where schedules.uid in (select noted.schedule_uid from noted)
returning schedules.uid
