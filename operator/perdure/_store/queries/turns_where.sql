-- Purpose: after a commit of unknown outcome, read back where instances stand (I8).
-- Parameters: $1 instance_ids text[].
-- Locks: none.
select instance_id, owner_id, turn, finished_at is not null as is_finished
from instances
where instance_id = any($1::text[])
