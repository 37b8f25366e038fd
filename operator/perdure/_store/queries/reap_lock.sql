-- Purpose: first step of reaping, in one transaction with reap_free, reap_tasks and reap_delete: take the dead workers.
--     A claim holds its worker's row (key share), so after this no dead worker can claim; the next statement has a
--     newer snapshot and sees all that it ever claimed.
-- Parameters: none.
-- Locks: rows of dead workers (skipping those that another reaper holds).
select worker_id
from workers
where lease_until < now()
order by worker_id
for update skip locked
