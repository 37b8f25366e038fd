-- Purpose: give the resources that are believed to live, for the comparison with the cluster.
-- Parameters: $1 namespaces, empty for all
-- Locks: none.
select uid, namespace, name, generation, deleting, status_resource_version
from resources
where gone_at is null and (cardinality($1::text[]) = 0 or namespace = any($1::text[]))
