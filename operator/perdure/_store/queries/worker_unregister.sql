-- Purpose: take a worker that has given everything back off the list.
-- Parameters: $1 worker_id uuid.
-- Locks: the worker's own row.
delete from workers
where worker_id = $1::uuid
    and not exists (select from instances where owner_id = $1::uuid)
    and not exists (select from tasks where worker_id = $1::uuid)
