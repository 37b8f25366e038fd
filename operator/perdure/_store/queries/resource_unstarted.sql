-- Purpose: tell which of these sights may start a run or tell one of another request, so that what that needs is looked for
--     before: there is no run yet, and none of the same request or of an earlier life to adopt, or the request has changed and nobody is told.
-- Parameters, one array element per sight: $1 uid  $2 namespace  $3 name  $4 digest of the request  $5 whether its
--     status names a run. $6 reason of a cancel that comes with a changed request.
-- Locks: none; whoever takes in a sight decides again.
select seen.uid
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[]) as seen (uid, namespace, name, request, has_earlier)
left join resources on resources.uid = seen.uid
left join instances on instances.instance_id = resources.instance_id and instances.resource_uid = resources.uid
left join tombstones on tombstones.namespace = seen.namespace and tombstones.name = seen.name
where resources.gone_at is null
    and (
        (
            resources.run is null
            and tombstones.request is distinct from seen.request
            and not (resources.uid is null and seen.has_earlier)
        )
        or (
            resources.run is not null
            and (resources.request <> seen.request or resources.cancel_reason = $6::text)
            and (resources.told is distinct from seen.request or instances.finished_at is not null or instances.instance_id is null)
        )
    )
