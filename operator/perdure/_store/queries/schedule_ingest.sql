-- Purpose: take in what was seen of schedules. Idempotent. Another cron or zone counts from now on; whatever else changed is
--   looked at at once.
-- Parameters, one array element per schedule: $1 uid  $2 namespace  $3 name  $4 generation  $5 spec (JSON)
--   $6 timing (cron and zone)  $7 deleting  $8 gone (then $4 to $7 are ignored)
--   $9 the generation that was known before this one was read, or null: when this one is lower and that one is known still,
--   the API server was restored from a backup, and this one counts. What is decided stays decided.
--   Gives one row for each schedule that brought news: uid, is_gone.
-- Plain: $5 is compared here, and stands in the API server for everybody who may read the resource.
-- Locks: schedules by uid; what is locked is compared as it is then, not as the snapshot has it.
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
    deleting = excluded.deleting or (known.deleting and excluded.generation >= known.generation),
    gone_at = excluded.gone_at,
    observed_at = now(),
    decided_until = case
        when excluded.gone_at is null and excluded.timing <> known.timing then greatest(known.decided_until, now())
        else known.decided_until
    end,
    next_at = case when known.deleting and excluded.generation >= known.generation then null else excluded.next_at end,
    changes = known.changes + 1
where
    known.gone_at is null
    and (
        excluded.gone_at is not null
        or (
            (
                excluded.generation >= known.generation
                or known.generation = ($9::bigint[])[array_position($1::uuid[], known.uid)]
            )
            and (excluded.generation, excluded.spec, excluded.deleting)
            is distinct from (known.generation, known.spec, known.deleting)
        )
    )
returning known.uid, known.gone_at is not null as is_gone
