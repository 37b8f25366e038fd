-- Purpose: commit the turns of many instances, each all or nothing (I3), only for their owner and only the next turn (I4).
--     The instance row is the fence: every other write comes from the rows that the update returned. Values are passed
--     through from step to step, since joining one CTE to another would be planned as a nested loop over guesses.
-- Parameters: $1 owner uuid; then one array element a turn: $2 instance_id, $3 execution, $4 turn, $5 at, $6 body,
--     $7 phase, $8 version, $9 output, $10 error, $11 custom_status (null keeps it), $12 messages taken in
--     ('{1,2}' as text, null for none), $13 seqs of tasks that are over ('{1,2}' as text, null for none). A last turn
--     takes all messages and tasks of its instance with it.
-- Locks: instances in instance_id order, then inbox and tasks rows of those instances.
with locked as materialized (
    select t.*
    from unnest(
        $2::text[], $3::integer[], $4::integer[], $5::timestamptz[], $6::bytea[],
        $7::text[], $8::text[], $9::bytea[], $10::bytea[], $11::bytea[], $12::text[], $13::text[]
    ) as t (
        instance_id, execution, turn, at, body,
        phase, version, output, error, custom_status, messages, tasks
    )
    join instances i on i.instance_id = t.instance_id
    where i.owner_id is not distinct from $1::uuid and i.turn = t.turn
    order by t.instance_id
    for update of i
),
updated as (
    update instances i
    set
        turn = l.turn + 1,
        phase = l.phase,
        version = l.version,
        output = l.output,
        error = l.error,
        custom_status = coalesce(l.custom_status, i.custom_status),
        recoveries = 0,
        hold_reason = '',
        started_at = coalesce(i.started_at, l.at),
        finished_at = case when l.phase in ('Completed', 'Failed', 'Cancelled') then l.at end,
        owner_id = case when l.phase in ('Completed', 'Failed', 'Cancelled') then null else i.owner_id end,
        wake_at = case when l.phase in ('Completed', 'Failed', 'Cancelled') then null else i.wake_at end
    from locked l
    where i.instance_id = l.instance_id
    returning l.instance_id, l.execution, l.turn, l.at, l.body, l.messages, l.tasks, i.finished_at
),
recorded as (
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, execution, turn, at, body from updated
),
consumed as (
    delete from inbox m
    using updated u
    where (u.messages is not null or u.finished_at is not null)
        and m.instance_id = u.instance_id
        and (m.message_id = any(u.messages::bigint[]) or u.finished_at is not null)
),
over as (
    delete from tasks t
    using updated u
    where (u.tasks is not null or u.finished_at is not null)
        and t.instance_id = u.instance_id
        and ((t.execution = u.execution and t.seq = any(u.tasks::integer[])) or u.finished_at is not null)
)
select instance_id from updated
