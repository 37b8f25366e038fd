-- Purpose: find who stands in the way of a reservation: what this activity has reserved, and who holds name or label.
-- Parameters: $1 namespace, $2 name, $3 DNS label, $4 key of the activity.
-- Locks: none.
select
    name,
    dns_label,
    owner,
    state,
    reserved_key = $4 as is_reserved_here
from inventory.servers
where namespace = $1
    and ((name = $2 and reserved_key = $4) or (released_at is null and (name = $2 or dns_label = $3)))
order by is_reserved_here desc, (name = $2) desc, server_id;
