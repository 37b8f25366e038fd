-- Purpose: take in what was seen of signal resources. Idempotent: what brings no news writes nothing, and who is gone stays
--   gone. Gives those that brought news: whether each waits for delivery, and the bytes of its message.
-- Parameters, one array element per resource; a uid is in a batch once:
--   $1 uid  $2 namespace  $3 name  $4 generation  $5 deleting  $6 gone (then $4, $5, $7-$15 are ignored)  $7 target
--   $8 message (JSON of the event) or null  $9 ConfigMap and $10 its key, or null  $11 seconds to live or null
--   $12 reason why it can never be sent, or null, and $13 what to say about it  $14 when it was made, null when gone  $15 signal
--   $16 the generation that was known before this one was read, or null: when this one is lower and that one is known still,
--   the API server was restored from a backup, and this one counts
-- Locks: signal_resources by uid.
with seen as (
    select *
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::text[],
        $8::bytea[], $9::text[], $10::text[], $11::integer[], $12::text[], $13::text[],
        $14::timestamptz[], $15::text[], $16::bigint[]
    ) as seen (
        item_uid, item_namespace, item_name, item_generation, item_deleting, gone, item_target,
        item_message, item_config_map, item_config_key, item_ttl_seconds, refusal, refusal_detail,
        item_created_at, item_signal, instead_of
    )
),

news as (
    select seen.*
    from seen
    left join signal_resources as known on known.uid = seen.item_uid
    where
        known.uid is null
        or (
            known.gone_at is null
            and (
                seen.gone
                or seen.item_generation > known.generation
                or seen.instead_of = known.generation
                or (seen.item_deleting and not known.deleting)
            )
        )
),

taken as (
    insert into signal_resources as kept (
        uid, namespace, name, generation, created_at, target, signal, message, config_map, config_key, ttl_seconds, deleting, gone_at,
        phase, reason, detail, decided_at
    )
    select
        item_uid, item_namespace, item_name, item_generation, coalesce(item_created_at, now()), item_target, item_signal,
        case when not gone and refusal is null then item_message end, item_config_map, item_config_key, item_ttl_seconds,
        item_deleting, case when gone then now() end,
        case when refusal is null then 'Pending' else 'Failed' end, coalesce(refusal, ''), coalesce(refusal_detail, ''),
        case when refusal is not null then now() end
    from news
    order by item_uid
    on conflict (uid) do update set
        generation = case
            when kept.generation = ($16::bigint[])[array_position($1::uuid[], kept.uid)] then excluded.generation
            else greatest(kept.generation, excluded.generation)
        end,
        deleting = excluded.deleting
        or (kept.deleting and kept.generation is distinct from ($16::bigint[])[array_position($1::uuid[], kept.uid)]),
        gone_at = excluded.gone_at,
        message = case when excluded.gone_at is null then kept.message end
    -- Judged on the row as it is now: another controller may have been faster.
    where kept.gone_at is null
    returning uid, phase = 'Pending' and gone_at is null and not deleting as waits, octet_length(message) as size_bytes
)

select uid, waits, coalesce(size_bytes, 0) as size_bytes
from taken
