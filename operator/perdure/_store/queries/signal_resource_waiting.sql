-- Purpose: find the signal resources that may get further now: those that nobody has tried yet, those whose run was not
--   there and is now, and those whose pause is over. Who waits for a run that is still not there costs one look.
-- Parameters: $1 namespaces, empty for all, $2 uid after which the page begins, $3 size of the page.
-- Locks: none. Reads what is pending only (signal_resources_pending).
select kept.uid, kept.created_at, kept.namespace, kept.name, coalesce(octet_length(kept.message), 0) as size_bytes
from signal_resources as kept
where
    kept.phase = 'Pending'
    and kept.gone_at is null
    and not kept.deleting
    and kept.uid > $2
    and (cardinality($1::text[]) = 0 or kept.namespace = any($1::text[]))
    and (
        kept.reason = ''
        or (kept.reason <> 'RunMissing' and kept.retry_at <= now())
        or (
            kept.reason = 'RunMissing'
            and exists (
                select
                from resources
                where
                    resources.namespace = kept.namespace
                    and resources.name = kept.target
                    and resources.gone_at is null
                    and resources.instance_id is not null
            )
        )
    )
order by kept.uid
limit $3
