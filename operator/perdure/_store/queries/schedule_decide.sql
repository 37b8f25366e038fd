-- Purpose: write down what was decided about ticks: those that are run get a row, for all others the schedule counts on.
--   A schedule that was decided or changed since somebody looked is left as it is.
-- Parameters, one array element per schedule: $1 uid  $2 decided_until when it was looked at  $3 generation then
--   $4 decided_until from now on  $5 next_at or null  $6 the latest tick that is run, or null  $7 ticks missed
--   $8 the latest of them, or null  $9 why in a word, or ''  $10 why in a sentence, or ''
--   one array element per tick that is run: $11 uid of its schedule  $12 tick  $13 name of the Orchestration
--   Gives the uids of the schedules that were written.
-- Locks: schedules by uid, then the new rows of schedule_ticks.
with locked as materialized (
    select schedules.uid, decided.*
    from unnest(
        $1::uuid[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
        $7::bigint[], $8::timestamptz[], $9::text[], $10::text[]
    ) as decided (
        item_uid, seen_until, seen_generation, new_until, new_next_at, tick_at, new_missed, new_missed_tick_at,
        new_reason, new_message
    )
    inner join schedules on schedules.uid = decided.item_uid
    where
        schedules.decided_until = decided.seen_until
        and schedules.generation = decided.seen_generation
        and not schedules.deleting
        and schedules.gone_at is null
    order by schedules.uid
    for update of schedules
),

counted as (
    update schedules
    set
        decided_until = greatest(schedules.decided_until, locked.new_until),
        next_at = locked.new_next_at,
        last_tick_at = coalesce(locked.tick_at, schedules.last_tick_at),
        missed = schedules.missed + locked.new_missed,
        missed_tick_at = coalesce(locked.new_missed_tick_at, schedules.missed_tick_at),
        missed_reason = case when locked.new_missed > 0 then locked.new_reason else schedules.missed_reason end,
        missed_message = case when locked.new_missed > 0 then locked.new_message else schedules.missed_message end,
        changes = schedules.changes + (locked.tick_at is not null or locked.new_missed > 0)::integer
    from locked
    where schedules.uid = locked.uid
    returning schedules.uid
),

run as (
    insert into schedule_ticks (schedule_uid, tick_at, name)
    select ticks.schedule_uid, ticks.tick_at, ticks.name
    from unnest($11::uuid[], $12::timestamptz[], $13::text[]) as ticks (schedule_uid, tick_at, name)
    where ticks.schedule_uid in (select counted.uid from counted)
    order by ticks.schedule_uid, ticks.tick_at
    on conflict do nothing
)

select counted.uid from counted
