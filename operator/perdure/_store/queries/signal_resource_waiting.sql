-- Purpose: find the signal resources that may get further now.
-- Parameters: $1 namespaces, empty for all, $2 uid after which the page begins, $3 size of the page.
-- Locks: none. Reads what is pending only (signal_resources_pending).
select uid, created_at, namespace, name, coalesce(octet_length(message), 0) as size_bytes
from signals_to_try
where uid > $2 and (cardinality($1::text[]) = 0 or namespace = any($1::text[]))
order by uid
limit $3
