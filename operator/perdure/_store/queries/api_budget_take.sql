-- Purpose: take tokens of the budget of requests to the API server, as many as are wanted or there are; say how long until
--     there is one again, and among how many workers the budget is shared. Tokens gather at per_second, up to those of
--     one second and at least one. Who was asked to leave the API server alone says so, and nobody gets any until then.
--     Without a row the budget is full. The time is that after the wait for the row.
-- Parameters: $1 how many are wanted, $2 per_second, $3 seconds to pause, or 0, $4 the longest pause (a clock that was
--     set back looks like one).
-- Locks: the one row.
with asked as (
    select
        floor(greatest($2::float8, 1)) as burst,
        case when $3::float8 > 0 then 0 else least($1::integer, floor(greatest($2, 1))) end as at_most
)
insert into api_budget as b (tokens, refilled_at, granted, taken)
select
    case when $3 > 0 then 0 else a.burst - a.at_most end,
    clock_timestamp() + make_interval(secs => $3),
    a.at_most,
    a.at_most
from asked a
on conflict (is_the_only_row) do update
set (tokens, refilled_at, granted, taken) = (
    select n.tokens - g.granted, n.refilled_at, g.granted, b.taken + g.granted
    from asked a
    cross join lateral (select clock_timestamp() as at) c
    cross join lateral (
        select
            least(
                greatest(b.refilled_at, c.at + make_interval(secs => $3)), c.at + make_interval(secs => $4::float8)
            ) as refilled_at,
            case when $3 > 0 then 0 else least(
                a.burst, b.tokens + $2 * greatest(0, extract(epoch from c.at - b.refilled_at))
            ) end as tokens
    ) n
    cross join lateral (
        select case when n.refilled_at > c.at then 0 else least(a.at_most, floor(n.tokens)) end as granted
    ) g
)
returning
    b.granted,
    (
        greatest(0, extract(epoch from b.refilled_at - clock_timestamp())) + greatest(0, 1 - b.tokens) / $2
    )::float8 as again_seconds,
    (select count(*) from workers w where w.lease_until > now() and w.has_cluster)::integer as workers
