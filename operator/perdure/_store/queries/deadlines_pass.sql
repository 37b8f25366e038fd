-- Purpose: end what did not end before its deadline: a run that no worker ever had fails here, any other is told by a
--     message and woken; a pause keeps nobody from ending. Nobody is told twice, and who is asked to end already is left to it.
--     Gives what was ended or told.
-- Parameters: $1 error of one that no worker ever had, $2 how many.
-- Locks: instances, skipping locked ones, then inbox rows of those.
with overdue as materialized (
    select
        i.instance_id, i.resource_uid, i.deadline_at - i.created_at as time,
        i.owner_id is null and i.turn = 0 and i.parent_id is null as is_fresh
    from instances i
    where i.deadline_at <= now() and i.deadline_at is not null and i.finished_at is null
    order by i.instance_id
    limit $2::integer
    for update skip locked
),
told as (
    insert into inbox (instance_id, kind, payload, dedupe_key)
    select
        o.instance_id, 'Cancel',
        convert_to(
            jsonb_build_object(
                'reason', format('It took longer than the %s s that it had.', round(extract(epoch from o.time))),
                'is_timeout', true
            )::text,
            'UTF8'
        ),
        'cancel'
    from overdue o
    where not o.is_fresh
    order by o.instance_id
    on conflict (instance_id, dedupe_key) where dedupe_key is not null do nothing
)
update instances i
set
    deadline_at = null,
    phase = case
        when o.is_fresh then 'Failed'
        when not i.is_suspended or i.hold_reason <> '' then i.phase
        when i.turn = 0 then 'Pending'
        else 'Running'
    end,
    error = case when o.is_fresh then $1::bytea else i.error end,
    is_suspended = false,
    suspend_reason = '',
    finished_at = case when o.is_fresh then now() end,
    wake_at = case when not o.is_fresh then now() end
from overdue o
where i.instance_id = o.instance_id
returning i.instance_id, i.resource_uid, o.is_fresh
