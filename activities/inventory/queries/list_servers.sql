-- Purpose: list who holds names in a namespace, in the order of the names.
-- Parameters: $1 namespace, $2 a name, of which only later ones are wanted, $3 how many.
-- Locks: none.
select name, dns_label, state, version, owner
from inventory.servers
where namespace = $1 and name > $2 and released_at is null
order by name
limit $3;
