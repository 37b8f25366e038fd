-- Purpose: take the server that holds a name for the rest of the transaction; no row when nobody holds it.
-- Parameters: $1 namespace, $2 name.
-- Locks: the server.
select server_id, owner, state, dns_label, consecutive_failures, health_since, last_ok_at
from inventory.servers
where namespace = $1 and name = $2 and released_at is null
for update;
