-- Purpose: say whose code this worker steps now, of all those that earlier owners may have died of; nobody's any more when
--     there are none. If it dies now, it is of them.
-- Parameters: $1 worker_id uuid, $2 instance_ids text[].
-- Locks: the worker's own row.
update workers set trying = $2::text[] where worker_id = $1::uuid
