-- Purpose: end an instance at once, without its code. One that has an owner is told to end, by a message. One that has none
--     ends here: its last turn is written, its messages and tasks go, its parent hears of it, its children are asked to end.
--     Gives no row when there is none; is_done is false when it took a turn since it was read: read it again.
-- Parameters: $1 instance_id, $2 payload of the message to its owner, $3 turn it was read at, $4 body of its last turn,
--     $5 its error, $6 its parent or null, $7 payload of the event for the parent or null, $8 payload of the message to
--     its children.
-- Locks: the instance, its parent and its children in instance_id order, then their inbox and tasks rows.
with locked as materialized (
    select
        i.instance_id, i.owner_id, i.turn, i.execution, i.parent_id, i.parent_execution,
        i.finished_at is not null as is_finished, i.instance_id is not distinct from $6::text as is_parent
    from instances i
    where i.instance_id = $1::text or i.instance_id = $6::text or i.parent_id = $1::text
    order by i.instance_id
    for update
),
ending as materialized (
    select * from locked where instance_id = $1::text and not is_finished and owner_id is null and turn = $3::integer
),
recorded as (
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, execution, turn, now(), $4::bytea from ending
),
ended as (
    update instances i
    set
        turn = i.turn + 1,
        phase = 'Cancelled',
        error = $5::bytea,
        hold_reason = '',
        is_suspended = false,
        suspend_reason = '',
        buffered_signals = 0,
        carried = null,
        owner_id = null, -- as the locked row says; the statement's own snapshot may be older
        wake_at = null,
        started_at = coalesce(i.started_at, now()),
        finished_at = now()
    from ending e
    where i.instance_id = e.instance_id
),
emptied as (
    delete from inbox m using ending e where m.instance_id = e.instance_id
),
over as (
    delete from tasks t using ending e where t.instance_id = e.instance_id
),
told as (
    insert into inbox (instance_id, kind, payload, dedupe_key, execution)
    select instance_id, 'Terminate', $2::bytea, 'terminate', null::integer
    from locked
    where instance_id = $1::text and not is_finished and owner_id is not null
    union all
    select p.instance_id, 'Event', $7::bytea, null, e.parent_execution
    from ending e
    join locked p on p.instance_id = e.parent_id and not p.is_finished
    union all
    select c.instance_id, 'Cancel', $8::bytea, 'cancel', null
    from ending e
    join locked c on c.parent_id = e.instance_id and not c.is_finished
    order by 1
    on conflict (instance_id, dedupe_key) where dedupe_key is not null do nothing
),
woken as (
    -- A pause must not keep from ending whoever is told to; a parent that is paused only hears of it.
    update instances i
    set
        wake_at = now(),
        is_suspended = i.is_suspended and l.is_parent,
        suspend_reason = case when l.is_parent then i.suspend_reason else '' end,
        phase = case
            when not i.is_suspended or i.hold_reason <> '' or l.is_parent then i.phase
            when i.turn = 0 then 'Pending'
            else 'Running'
        end
    from locked l
    where i.instance_id = l.instance_id
        and not l.is_finished
        and case when l.instance_id = $1::text then l.owner_id is not null else exists (select from ending) end
)
select
    l.is_finished or l.owner_id is not null or exists (select from ending) as is_done,
    pg_notify('perdure_wake', ''),
    pg_notify('perdure_finished', '')
from locked l
where l.instance_id = $1::text
