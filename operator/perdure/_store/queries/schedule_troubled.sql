-- Purpose: remember why the Orchestration of a tick could not be created. Given up, the tick counts as missed.
-- Parameters: $1 uid of the schedule  $2 tick  $3 whether it is given up  $4 why in a word  $5 why in a sentence
--   $6 whether that is the schedule's problem until an Orchestration can be created again
-- Locks: the schedule, then its tick. What the schedule says already is read from the locked row, not from the snapshot.
with locked as materialized (
    select schedules.uid
    from schedules
    where schedules.uid = $1
    for update
),

given_up as (
    delete from schedule_ticks
    using locked
    where
        $3
        and schedule_ticks.schedule_uid = locked.uid
        and schedule_ticks.tick_at = $2
        and schedule_ticks.orchestration_uid is null
    returning schedule_ticks.tick_at
),

told as (
    select locked.uid, given_up.tick_at
    from locked
    left join given_up on true
)

update schedules
set
    missed = schedules.missed + (told.tick_at is not null)::integer,
    missed_tick_at = greatest(schedules.missed_tick_at, told.tick_at),
    missed_reason = case when told.tick_at is not null then $4 else schedules.missed_reason end,
    missed_message = case when told.tick_at is not null then $5 else schedules.missed_message end,
    problem_reason = case when $6 then $4::text else schedules.problem_reason end,
    problem_message = case when $6 then $5::text else schedules.problem_message end,
    changes = schedules.changes + 1
from told
where
    schedules.uid = told.uid
    and (
        told.tick_at is not null
        or ($6 and ($4::text, $5::text) is distinct from (schedules.problem_reason, schedules.problem_message))
    )
returning schedules.uid
