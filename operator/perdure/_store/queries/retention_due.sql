-- Purpose: take the runs whose age is over, the oldest first, and say of the resources whose status shows their end that it
--     is all that is left: from then on these keep nothing. Whoever is not removed after this is looked at again.
-- Parameters: $1 how many, $2 seconds until one that cannot be removed now is looked at again.
-- Locks: instances, skipping locked ones, then resources by uid.
with due as materialized (
    select instance_id
    from instances
    where remove_at <= now() and remove_at is not null
    order by remove_at
    limit $1::integer
    for update skip locked
),
postponed as (
    update instances i
    set remove_at = now() + make_interval(secs => $2::float8)
    from due d
    where i.instance_id = d.instance_id
    returning i.instance_id
),
archived as (
    update resources
    set is_archived = true
    where instance_id = any(array(select d.instance_id from due d)) and settled and waiting = ''
)
select instance_id from postponed
