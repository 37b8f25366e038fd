-- Purpose: take in the news of signal resources. Gives for each its place among those that wait, the
--   bytes of its message, and whether it waits for delivery.
-- Parameters, one array element per resource; a uid is in a batch once:
--   $1 uid  $2 namespace  $3 name  $4 generation  $5 deleting  $6 gone (then $4, $5, $7-$15 are ignored)  $7 target
--   $8 message (JSON of the event) or null  $9 ConfigMap and $10 its key, or null  $11 seconds to live or null
--   $12 reason why it can never be sent, or null, and $13 what to say about it  $14 when it was made, null when gone  $15 signal
-- Locks: signal_resources by uid; the caller holds the lock of sight_lock.sql, under which it found out that these are news.
insert into signal_resources as kept (
    uid, namespace, name, generation, created_at, target, signal, message, config_map, config_key, ttl_seconds, deleting, gone_at,
    phase, reason, detail, decided_at
)
select
    seen.uid, seen.namespace, seen.name, seen.generation, coalesce(seen.created_at, now()), seen.target, seen.signal,
    case when not seen.gone and seen.refusal is null then seen.message end, seen.config_map, seen.config_key, seen.ttl_seconds,
    seen.deleting, case when seen.gone then now() end,
    case when seen.refusal is null then 'Pending' else 'Failed' end, coalesce(seen.refusal, ''),
    coalesce(seen.refusal_detail, ''), case when seen.refusal is not null then now() end
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::text[],
    $8::bytea[], $9::text[], $10::text[], $11::integer[], $12::text[], $13::text[], $14::timestamptz[], $15::text[]
) as seen (
    uid, namespace, name, generation, deleting, gone, target,
    message, config_map, config_key, ttl_seconds, refusal, refusal_detail, created_at, signal
)
order by seen.uid
on conflict (uid) do update set
    generation = case when excluded.gone_at is null then excluded.generation else kept.generation end,
    deleting = case when excluded.gone_at is null then excluded.deleting else kept.deleting end,
    gone_at = excluded.gone_at,
    message = case when excluded.gone_at is null then kept.message end
returning
    uid, created_at, namespace, name, coalesce(octet_length(message), 0) as size_bytes,
    phase = 'Pending' and gone_at is null and not deleting as waits
