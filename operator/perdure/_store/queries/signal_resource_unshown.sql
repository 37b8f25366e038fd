-- Purpose: give what the statuses of signal resources are made of, for those whose status does not show it. One that waits
--   is shown after a second: most are delivered before.
-- Parameters: $1 namespaces, empty for all, $2 uid after which the page begins, $3 size of the page.
-- Locks: none.
select
    uid, namespace, name, generation, target, phase, reason, detail, instance_id, observed_at, decided_at, revision, status
from signal_resources
where
    revision <> shown_revision
    and gone_at is null
    and uid > $2
    and (phase <> 'Pending' or observed_at < now() - interval '1 second')
    and (phase <> 'Pending' or reason <> '')
    and (cardinality($1::text[]) = 0 or namespace = any($1::text[]))
order by uid
limit $3
