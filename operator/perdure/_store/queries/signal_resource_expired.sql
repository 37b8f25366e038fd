-- Purpose: find the signal resources that asked to be deleted by now; they are drawn, so that those which the API server
--   refuses to delete stop no others.
-- Parameters: $1 namespaces, empty for all, $2 how many at most.
-- Locks: none.
select uid, namespace, name
from signal_resources
where
    expires_at <= now()
    and gone_at is null
    and not deleting
    and (cardinality($1::text[]) = 0 or namespace = any($1::text[]))
order by random()
limit $2
