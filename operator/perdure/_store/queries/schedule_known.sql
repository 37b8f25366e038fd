-- Purpose: give the schedules that are believed to live, for the comparison with the cluster.
-- Parameters: $1 namespaces, empty for all
-- Locks: none.
select uid, namespace, name, generation, deleting
from schedules
where gone_at is null and (cardinality($1::text[]) = 0 or namespace = any($1::text[]))
