-- Purpose: tell what there is to do for all schedules: the one query of a quiet time.
-- Parameters: $1 namespaces, empty for all  $2 seconds after which a created Orchestration that nobody saw is looked for
--   Gives one row: in how many seconds the next one is due (null: none), and whether there is an Orchestration to create,
--   a run that was unfinished when somebody looked last, one that has ended since, an Orchestration to look for, and
--   something to show or to tidy up.
-- Locks: none. Each part reads an index of what is open, and no more.
select
    (
        select extract(epoch from schedules.next_at - now())::double precision
        from schedules
        where
            schedules.next_at is not null
            and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
            and not exists (
                select from schedule_ticks
                where schedule_ticks.schedule_uid = schedules.uid and schedule_ticks.orchestration_uid is null
            )
        order by schedules.next_at
        limit 1
    ) as due_in_seconds,
    exists (
        select from schedule_ticks
        inner join schedules on schedules.uid = schedule_ticks.schedule_uid
        where
            schedule_ticks.orchestration_uid is null
            and not schedules.deleting
            and schedules.gone_at is null
            and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    ) as has_uncreated,
    count(*) > 0 as has_open,
    coalesce(bool_or(open.is_over), false) as has_ended,
    coalesce(bool_or(open.is_unseen and open.created_at < now() - make_interval(secs => $2)), false) as has_lost,
    exists (
        select from schedules
        where
            schedules.changes <> schedules.shown_changes
            and schedules.gone_at is null
            and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
    ) as has_unshown
from schedule_runs as open
inner join schedules on schedules.uid = open.schedule_uid
where schedules.gone_at is null and (cardinality($1::text[]) = 0 or schedules.namespace = any($1::text[]))
