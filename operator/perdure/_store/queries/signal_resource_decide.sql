-- Purpose: write down what became of signal resources that are in hand, or what they wait for, and when to try again: the
--   pause doubles from two seconds to a minute. A decided one gives up its message, and lives on for as long as it asks.
-- Parameters, one array element per resource: $1 uid  $2 phase  $3 reason  $4 detail  $5 instance_id or null.
-- Locks: signal_resources; the caller's transaction has them.
update signal_resources as kept
set
    phase = decided.phase,
    reason = decided.reason,
    detail = decided.detail,
    instance_id = decided.instance_id,
    decided_at = case when decided.phase <> 'Pending' then now() end,
    expires_at = case when decided.phase = 'Delivered' then now() + make_interval(secs => kept.ttl_seconds) end,
    message = case when decided.phase = 'Pending' then kept.message end,
    tries = kept.tries + 1,
    retry_at = case
        when decided.phase = 'Pending' then now() + make_interval(secs => least(60, 2 * 2 ^ least(kept.tries, 10)))
    end,
    revision = case
        when (kept.reason, kept.detail) is distinct from (decided.reason, decided.detail) then kept.revision + 1
        else kept.revision
    end
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
    as decided (uid, phase, reason, detail, instance_id)
where kept.uid = decided.uid
