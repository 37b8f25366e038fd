-- Purpose: put up tombstones for resources that are about to be deleted since their TTL is over, and say which still are.
-- Parameters: $1 uids.
-- Locks: tombstones by name; the caller holds the lock of sight_lock.sql: an ingest that found no tombstone takes none away,
--     and may begin the next run of a resource that is not deleted then.
insert into tombstones (namespace, name, uid, request, run, instance_id, status)
select r.namespace, r.name, r.uid, r.request, r.run, r.instance_id, r.status
from resources r
where r.uid = any($1::uuid[])
    and r.gone_at is null
    and r.settled
    and not r.deleting
    and r.expires_at <= now()
    and r.run is not null
    and r.request is not null
order by r.namespace, r.name
on conflict (namespace, name) do update set
    uid = excluded.uid,
    request = excluded.request,
    run = excluded.run,
    instance_id = excluded.instance_id,
    status = excluded.status,
    buried_at = now()
returning uid
