-- Purpose: take tokens of the budget of requests to the API server, as many as are wanted or there are, and some in advance
--     if there are plenty; say how long until there is one again, and among how many workers the budget is shared. Tokens
--     gather at per_second, up to those of one second and at least one. Who was asked to leave the API server alone says
--     so, and nobody gets any until then. Without a row the budget is full. The time is that after the wait for the row.
-- Parameters: $1 how many are wanted, $2 how many are welcome besides, of which at most half of what is left is given,
--     $3 per_second, $4 seconds to pause, or 0, $5 the longest pause (a clock that was set back looks like one).
-- Locks: the one row.
insert into api_budget as b (tokens, refilled_at, granted, taken)
select f.tokens - g.granted, clock_timestamp() + make_interval(secs => $4::float8), g.granted, g.granted
from (select case when $4::float8 > 0 then 0 else floor(greatest($3::float8, 1)) end as tokens) f
cross join lateral (
    select
        least($1::integer, f.tokens)
        + least($2::integer, floor(greatest(0, f.tokens - $1) / 2)) as granted
) g
on conflict (is_the_only_row) do update
set (tokens, refilled_at, granted, taken) = (
    select f.tokens - g.granted, f.refilled_at, g.granted, b.taken + g.granted
    from (select clock_timestamp() as at) c
    cross join lateral (
        select
            least(
                greatest(b.refilled_at, c.at + make_interval(secs => $4)), c.at + make_interval(secs => $5::float8)
            ) as refilled_at,
            case when $4 > 0 then 0 else least(
                floor(greatest($3, 1)), b.tokens + $3 * greatest(0, extract(epoch from c.at - b.refilled_at))
            ) end as tokens
    ) f
    cross join lateral (
        select case when f.refilled_at > c.at then 0 else
            least($1, floor(f.tokens)) + least($2, floor(greatest(0, f.tokens - $1) / 2))
        end as granted
    ) g
)
returning
    b.granted,
    (
        greatest(0, extract(epoch from b.refilled_at - clock_timestamp())) + greatest(0, 1 - b.tokens) / $3
    )::float8 as again_seconds,
    (select count(*) from workers w where w.lease_until > now() and w.has_cluster)::integer as workers
