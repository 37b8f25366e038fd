-- Purpose: remove messages to instances that have ended or are no longer there; they can never be taken in.
-- Parameters: $1 how many at most.
-- Locks: the messages; nobody else touches them.
delete from inbox
where message_id in (
    select m.message_id
    from inbox m
    -- Not a join: made while there were few, its plan would compare each message with all instances.
    where coalesce((select i.finished_at is not null from instances i where i.instance_id = m.instance_id), true)
    limit $1::integer
)
