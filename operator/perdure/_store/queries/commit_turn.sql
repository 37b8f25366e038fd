-- Purpose: commit one turn, all or nothing (I3), only for its owner and only the next turn (I4), that asks nothing of
--     others and is followed by no next execution: what most turns are, and what an instance waits for when little is
--     going on. It does to its instance what commit_turns.sql does to each of many.
-- Parameters: $1 owner uuid, $2 instance_id, $3 turn, $4 execution, $5 at, $6 version, $7 created_at (null: whichever),
--     $8 custom_status (null: as it was), $9 buffered signals, $10 body, $11 phase, $12 output, $13 error; for the part
--     that clears up also $14 message ids taken in and $15 seqs of tasks that are over. A turn that is the last, or has any
--     of these, is committed with that part, and as the last takes all messages and tasks of its instance with it.
--     Gives the instance if the turn was accepted, with whether there are news that a claim may have had to skip.
-- Locks: the instance, then inbox and tasks rows of it.
with updated as (
    update instances i
    set
        turn = i.turn + 1,
        phase = case when i.is_suspended and $11::text = 'Running' then 'Suspended' else $11::text end,
        version = $6::text,
        output = $12::bytea,
        error = $13::bytea,
        custom_status = coalesce($8::bytea, i.custom_status),
        buffered_signals = $9::integer,
        recoveries = 0,
        hold_reason = case when i.is_suspended then i.hold_reason else '' end,
-- cleanup {
        finished_at = case when $11::text <> 'Running' then $5::timestamptz end,
        is_suspended = i.is_suspended and $11::text = 'Running',
        suspend_reason = case when $11::text = 'Running' then i.suspend_reason else '' end,
        owner_id = case when $11::text = 'Running' then i.owner_id end,
        wake_at = case when $11::text = 'Running' then i.wake_at end,
-- }
        started_at = coalesce(i.started_at, $5::timestamptz)
    where i.instance_id = $2::text
        and i.owner_id is not distinct from $1::uuid
        and i.turn = $3::integer
        and i.created_at is not distinct from coalesce($7::timestamptz, i.created_at)
    returning i.instance_id, i.wake_at is not null as has_news
),
-- cleanup {
consumed as (
    delete from inbox
    where message_id = any(array(select unnest($14::bigint[]) from updated))
        or instance_id = (select u.instance_id from updated u where $11::text <> 'Running')
),
over as (
    delete from tasks
    where instance_id = (select u.instance_id from updated u)
        and ($11::text <> 'Running' or (execution = $4::integer and seq = any($15::integer[])))
),
-- }
recorded as (
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, $4::integer, $3::integer, $5::timestamptz, $10::bytea from updated
)
select instance_id, true as is_turn, has_news from updated
