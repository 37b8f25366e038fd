-- Purpose: give what is known of the resources of a batch, one row each, in the order of the batch: from earlier sights, of
--     their names, and of the last resource of that name that its own TTL removed.
-- Parameters, one array element per resource: $1 uid  $2 namespace  $3 name.
-- Locks: none; the caller holds the lock of sight_lock.sql, so that nobody else takes in anything.
select
    resources.uid is not null as is_known,
    resources.generation,
    encode(sha256(resources.spec), 'hex') as spec_digest,
    resources.refusal,
    resources.deleting,
    resources.gone_at is not null as is_gone,
    resources.run,
    resources.instance_id,
    resources.run_as,
    resources.request,
    resources.told,
    resources.waiting,
    resources.cancel_reason,
    resources.timeout_seconds,
    resources.deletion_policy,
    resources.has_finalizer,
    resources.is_adopted,
    resource_runs.last_run,
    tombstones.uid as buried_uid,
    tombstones.request as buried_request,
    tombstones.run as buried_run,
    tombstones.instance_id as buried_instance_id
from unnest($1::uuid[], $2::text[], $3::text[]) with ordinality as wanted (uid, namespace, name, position)
left join resources on resources.uid = wanted.uid
left join resource_runs on resource_runs.namespace = wanted.namespace and resource_runs.name = wanted.name
left join tombstones on tombstones.namespace = wanted.namespace and tombstones.name = wanted.name
order by wanted.position
