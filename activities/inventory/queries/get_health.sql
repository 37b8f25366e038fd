-- Purpose: read the newest looks at a server, the newest first.
-- Parameters: $1 server_id, $2 how many.
-- Locks: none.
select at, healthy, message, latency_ms
from inventory.health
where server_id = $1
order by record_id desc
limit $2;
