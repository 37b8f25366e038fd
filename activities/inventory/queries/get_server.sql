-- Purpose: read the server that holds a name or, when it was released, the one that held it last.
-- Parameters: $1 namespace, $2 name.
-- Locks: none.
select
    server_id, name, dns_label, version, storage, owner, actor, state, state_at, message, details::text as details,
    failure, failed_at, consecutive_failures, health_since, last_ok_at, reserved_at, released_at
from inventory.servers
where namespace = $1 and name = $2
order by (released_at is null) desc, server_id desc
limit 1;
