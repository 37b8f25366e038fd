-- Purpose: how many payloads stand in the database under each encryption key, and how many are plain (''). Reads every
--     row there is: for people who change keys, not for machines.
-- Parameters: none.
-- Locks: none.
with payloads as (
    select body as payload from history
    union all
    select p.payload
    from instances i
    cross join lateral unnest(array[i.input, i.output, i.error, i.custom_status, i.carried]) as p (payload)
    union all
    select payload from inbox
    union all
    select p.payload
    from tasks t
    cross join lateral unnest(array[t.command, t.last_error, t.detail]) as p (payload)
    union all
    select status from resources
    union all
    select status from tombstones
    union all
    select p.payload
    from signal_resources s
    cross join lateral unnest(array[s.message, s.status]) as p (payload)
)
select
    case
        when octet_length(payload) > 3 and get_byte(payload, 0) = 0
            then encode(substring(payload from 4 for get_byte(payload, 2)), 'escape')
        else ''
    end as key_id,
    count(*) as payloads
from payloads
where octet_length(payload) > 0
group by 1
order by 1
