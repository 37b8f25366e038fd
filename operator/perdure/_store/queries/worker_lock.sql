-- Purpose: first step of leaving, in one transaction with worker_free and worker_unregister: wait for what this worker has
--     under way. A claim holds its worker's row (key share), so after this none is open, and the next statement has a newer
--     snapshot and sees all that was ever claimed.
-- Parameters: $1 worker_id uuid.
-- Locks: the worker's own row.
select worker_id from workers where worker_id = $1::uuid for update
