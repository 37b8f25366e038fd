-- Purpose: take in the news of schedules. Another cron or zone counts from now on; whatever else changed is looked at at
--   once. What is decided stays decided.
-- Parameters, one array element per schedule: $1 uid  $2 namespace  $3 name  $4 generation  $5 spec (JSON)
--   $6 timing (cron and zone)  $7 deleting  $8 gone (then $4 to $7 are ignored)
-- Plain: $5 is compared with what is seen later, and stands in the API server for everybody who may read the resource.
-- Locks: schedules by uid; the caller holds the lock of sight_lock.sql, under which it found out that these are news.
insert into schedules as known (uid, namespace, name, generation, spec, timing, deleting, gone_at, next_at)
select
    seen.uid, seen.namespace, seen.name, seen.generation, case when not seen.gone then seen.spec end, seen.timing,
    seen.deleting, case when seen.gone then now() end, case when not (seen.gone or seen.deleting) then now() end
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::boolean[], $8::boolean[]
) as seen (uid, namespace, name, generation, spec, timing, deleting, gone)
order by seen.uid
on conflict (uid) do update set
    generation = case when excluded.gone_at is null then excluded.generation else known.generation end,
    spec = coalesce(excluded.spec, known.spec),
    timing = case when excluded.gone_at is null then excluded.timing else known.timing end,
    deleting = case when excluded.gone_at is null then excluded.deleting else known.deleting end,
    gone_at = excluded.gone_at,
    observed_at = now(),
    decided_until = case
        when excluded.gone_at is null and excluded.timing <> known.timing then greatest(known.decided_until, now())
        else known.decided_until
    end,
    next_at = excluded.next_at,
    changes = known.changes + 1
