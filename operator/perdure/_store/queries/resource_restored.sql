-- Purpose: take back what is known of resources that the API server has in an older state than was known, as it was restored
--     from a backup: their statuses are to be written again, whatever they were made of, and what was gone is back. The
--     caller has read them after they were known.
-- Parameters, one array element per resource: $1 uid  $2 the resource version that was read.
-- Gives those that were older, with what was known of them.
-- Locks: resources by uid.
with older as (
    select resources.uid
    from unnest($1::uuid[], $2::bigint[]) as found (uid, resource_version)
    inner join resources on resources.uid = found.uid
    where resources.gone_at is not null or resources.status_resource_version > found.resource_version
    order by resources.uid
    for update of resources
)

update resources
set gone_at = null, status_turn = null, status_resource_version = null, settled = false
from older
where resources.uid = older.uid and resources.spec is not null
returning resources.uid, resources.namespace, resources.name, resources.generation, resources.deleting
