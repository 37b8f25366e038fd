-- Purpose: set the limits of a queue, over all workers; null for none. A queue without any has no row. A new rate begins
--     with the tokens of one second.
-- Parameters: $1 queue, $2 max_running, $3 per_second.
-- Locks: the queue's row.
with lifted as (
    delete from queues where queue = $1::text and $2::integer is null and $3::float8 is null
)
insert into queues (queue, max_running, per_second, tokens)
select $1::text, $2::integer, $3::float8, coalesce(greatest($3::float8, 1), 0)
where $2::integer is not null or $3::float8 is not null
on conflict (queue) do update
set
    max_running = excluded.max_running,
    per_second = excluded.per_second,
    tokens = case
        when queues.per_second is null then excluded.tokens
        else least(queues.tokens, excluded.tokens)
    end,
    refilled_at = case when queues.per_second is null then now() else queues.refilled_at end
