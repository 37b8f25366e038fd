-- Purpose: the children of an instance that have not ended.
-- Parameters: $1 instance_id.
-- Locks: none.
select instance_id
from instances
where parent_id = $1::text and finished_at is null
order by instance_id
