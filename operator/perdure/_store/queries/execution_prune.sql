-- Purpose: remove the history of executions that are over, oldest first; the current one of an instance always stays.
--     Gives how many executions were removed.
-- Parameters: $1 ids or null for all, $2 how many executions of each instance stay, $3 ended before or null,
--     $4 seconds since they ended or null, $5 how many executions at most.
-- Locks: rows of history that nobody writes any more. Reads instances_continued.
with old as materialized (
    select i.instance_id, e.execution
    from instances i
    cross join lateral (
        select h.execution, max(h.at) as ended_at
        from history h
        where h.instance_id = i.instance_id and h.execution <= i.execution - greatest($2::integer, 1)
        group by h.execution
    ) e
    where i.execution > 1
        and ($1::text[] is null or i.instance_id = any($1::text[]))
        and ($3::timestamptz is null or e.ended_at < $3::timestamptz)
        and ($4::float8 is null or e.ended_at < now() - make_interval(secs => $4::float8))
    limit $5::integer
),
removed as (
    delete from history h
    using old o
    where h.instance_id = o.instance_id and h.execution = o.execution
)
select count(*)::integer as executions from old
