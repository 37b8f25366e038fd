-- Purpose: remove messages to instances that have ended or are no longer there; they can never be taken in.
-- Parameters: $1 how many at most.
-- Locks: the messages; nobody else touches them.
delete from inbox
where message_id in (
    select m.message_id
    from inbox m
    left join instances i on i.instance_id = m.instance_id and i.finished_at is null
    where i.instance_id is null
    limit $1::integer
)
