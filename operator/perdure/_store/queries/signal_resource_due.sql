-- Purpose: say whether any signal resource may get further now (what signal_resource_waiting.sql gives), and whether there
--   is anything to show or to delete, now or when time has passed: one statement for all that the clock asks.
-- Parameters: $1 namespaces, empty for all.
-- Locks: none.
select
    exists (
        select from signals_to_try where cardinality($1::text[]) = 0 or namespace = any($1::text[])
    ) as may_go,
    exists (
        select
        from signal_resources as kept
        where
            kept.revision <> kept.shown_revision
            and kept.gone_at is null
            and (cardinality($1::text[]) = 0 or kept.namespace = any($1::text[]))
    )
    or exists (
        select
        from signal_resources as kept
        where
            kept.expires_at <= now()
            and kept.gone_at is null
            and not kept.deleting
            and (cardinality($1::text[]) = 0 or kept.namespace = any($1::text[]))
    ) as is_behind,
    exists (
        select
        from signal_resources as kept
        where
            kept.phase = 'Pending'
            and kept.gone_at is null
            and (cardinality($1::text[]) = 0 or kept.namespace = any($1::text[]))
    )
    or exists (
        select
        from signal_resources as kept
        where
            kept.expires_at is not null
            and kept.gone_at is null
            and (cardinality($1::text[]) = 0 or kept.namespace = any($1::text[]))
    ) as has_more
