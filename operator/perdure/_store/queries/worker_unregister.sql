-- Purpose: last step of leaving: take a worker that has given everything back off the list. One to whom a task still belongs
--     stays on it until its lease ends.
-- Parameters: $1 worker_id uuid.
-- Locks: the worker's own row, held since worker_lock.
delete from workers
where worker_id = $1::uuid
    and not exists (select from instances where owner_id = $1::uuid)
    and not exists (select from tasks where worker_id = $1::uuid)
