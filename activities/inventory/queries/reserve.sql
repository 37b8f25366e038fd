-- Purpose: reserve a name and a DNS label, unless one of them has a holder or this very activity has reserved before.
-- Parameters: $1 namespace, $2 name, $3 DNS label, $4 version, $5 storage, $6 owner, $7 key of the activity.
-- Locks: the new server, its event; waits for whoever reserves the same at this moment.
with reserved as (
    insert into inventory.servers (namespace, name, dns_label, version, storage, owner, reserved_key)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict do nothing
    returning server_id, state
)
insert into inventory.events (server_id, kind, message, key, to_state)
select server_id, 'reserved', '', $7, state
from reserved
returning server_id;
