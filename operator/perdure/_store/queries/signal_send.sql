-- Purpose: send signals to instances, each once per dedupe key for the life of its instance, and wake their workers, once.
--     A signal to an instance that has ended is dropped; one above the limit of unconsumed ones is refused. Signals are
--     counted as the statement found them: senders at the same moment may go beyond the limit by what they send at once.
--     Gives what became of each, by its position: Sent, Known (the key was used before), Full, Finished; no row when
--     there is no such instance.
-- Parameters: one array element a signal, in the order in which they shall come in: $1 instance_id, $2 payload (JSON of the
--     event), $3 dedupe_key or null; a key is in a batch once. $4 how many unconsumed signals an instance may have.
-- Locks: instances in instance_id order, then the new rows of signal_keys and inbox.
with locked as materialized (
    select a.*, i.finished_at is not null as is_finished
    from unnest($1::text[], $2::bytea[], $3::text[]) with ordinality as a (instance_id, payload, dedupe_key, position)
    join instances i on i.instance_id = a.instance_id
    order by a.instance_id, a.position
    for update of i
),
known as materialized (
    select
        l.*,
        k.dedupe_key is not null as is_known,
        row_number() over (partition by l.instance_id order by l.position) as number
    from locked l
    left join signal_keys k on k.instance_id = l.instance_id and k.dedupe_key = l.dedupe_key
),
judged as materialized (
    select
        k.*,
        -- One count an instance, whatever comes in for it. Both parts of it are of one moment: beside the row as it is
        -- when its lock was got, an inbox of before would count what moved meanwhile twice.
        max(
            case when k.number = 1 then (
                select b.buffered_signals from instances b where b.instance_id = k.instance_id
            ) + (
                select count(*) from inbox m where m.instance_id = k.instance_id and m.kind = 'Signal'
            ) end
        ) over (partition by k.instance_id)
        + count(*) filter (where not k.is_known) over (partition by k.instance_id order by k.position)
        > $4::integer as is_beyond
    from known k
),
keyed as (
    insert into signal_keys (instance_id, dedupe_key)
    select instance_id, dedupe_key
    from judged
    where dedupe_key is not null and not (is_finished or is_known or is_beyond)
    order by instance_id, dedupe_key
    on conflict do nothing
    returning instance_id, dedupe_key
),
sent as (
    insert into inbox (instance_id, kind, payload)
    select j.instance_id, 'Signal', j.payload
    from judged j
    where not (j.is_finished or j.is_known or j.is_beyond)
        -- Written so that it is a look into a hash: a join of two steps would be planned as if they had a row each.
        and (j.dedupe_key is null or (j.instance_id, j.dedupe_key) in (select k.instance_id, k.dedupe_key from keyed k))
    order by j.position
    returning instance_id
),
woken as (
    update instances i
    set wake_at = least(i.wake_at, now())
    from (select distinct s.instance_id from sent s) as s
    -- Whatever wake_at was in the snapshot: its owner may have cleared it while this waited for the row.
    where i.instance_id = s.instance_id
)
select
    j.position,
    case
        when j.is_finished then 'Finished'
        when j.is_known then 'Known'
        when j.is_beyond then 'Full'
        else 'Sent'
    end as fate,
    case when j.position = first_value(j.position) over () then pg_notify('perdure_wake', '') end
from judged j
