-- Purpose: which of the instances somebody waits for have ended.
-- Parameters: $1 instance_ids text[].
-- Locks: none.
select instance_id
from instances
where instance_id = any($1::text[]) and finished_at is not null
