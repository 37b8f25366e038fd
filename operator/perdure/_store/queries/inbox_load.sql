-- Purpose: read the messages of instances, in the order in which they came.
-- Parameters: $1 instance_ids text[].
-- Locks: none.
select message_id, instance_id, kind, payload, execution, created_at
from (
    select message_id, instance_id, kind, payload, execution, created_at
    from inbox
    where instance_id = any($1::text[])
    offset 0 -- by instance, however few messages there are believed to be
) mine
order by message_id
