-- Purpose: the checker of I5: instances that nobody will ever look at again. Must be empty.
--     Owned by nobody alive, or ownerless without waking now although their inbox has news. What is held may sleep: it
--     waits for a worker that can run it, and only a cancel must not find it asleep for ever; what is suspended sleeps
--     until it is resumed. Or one of its activities is in the hands of a worker that is gone.
-- Parameters: none.
-- Locks: none.
select i.instance_id, i.phase, i.owner_id
from instances i
where i.finished_at is null
    and not (i.is_suspended and i.owner_id is null)
    and (
        (i.owner_id is not null and not exists (select from workers w where w.worker_id = i.owner_id))
        or (i.owner_id is null and (i.wake_at is null or i.wake_at > now())
            and exists (
                select from inbox m
                where m.instance_id = i.instance_id
                    and (i.hold_reason = '' or (i.wake_at is null and m.kind in ('Cancel', 'Terminate')))
            ))
        or (i.owner_id is null and i.wake_at is null and i.turn = 0 and i.hold_reason = '')
        or exists (
            select from tasks t
            where t.instance_id = i.instance_id and t.worker_id is not null
                and not exists (select from workers w where w.worker_id = t.worker_id)
        )
    )
