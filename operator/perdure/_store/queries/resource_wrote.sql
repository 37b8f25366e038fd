-- Purpose: remember the statuses that the API server took. Of two writers of a resource the higher resource version wins;
--   a lower one is taken from whom nobody wrote beside (an API server restored from a backup counts from lower on).
-- Parameters, one array element per write: $1 uid  $2 status (JSON)  $3 turn or null  $4 phase or null  $5 generation
--   $6 resource version  $7 whether it is final  $8 the resource version remembered when the writer looked, or null
-- Gives the uids remembered; a missing one was written by somebody else later (or is gone).
--   With a final status it is known when the resource is to be deleted, if it is.
-- Locks: resources by uid.
with wrote as (
    select wanted.*
    from unnest(
        $1::uuid[], $2::bytea[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[]
    ) as wanted (uid, new_status, turn, phase, new_generation, resource_version, is_final, seen_resource_version)
    inner join resources on resources.uid = wanted.uid
    where
        coalesce(resources.status_resource_version, -1) <= wanted.resource_version
        or resources.status_resource_version = wanted.seen_resource_version
    order by wanted.uid
    for update of resources
)

update resources
set
    status = wrote.new_status,
    status_turn = wrote.turn,
    status_phase = wrote.phase,
    status_generation = wrote.new_generation,
    status_resource_version = wrote.resource_version,
    settled = wrote.is_final and resources.generation = wrote.new_generation,
    expires_at = case
        when not wrote.is_final or resources.is_adopted or resources.waiting <> '' then null
        else coalesce(
            (
                select i.finished_at + make_interval(secs => resources.ttl_seconds)
                from instances i
                where i.instance_id = resources.instance_id and i.resource_uid = resources.uid
            ),
            resources.expires_at
        )
    end
from wrote
where resources.uid = wrote.uid
returning resources.uid
