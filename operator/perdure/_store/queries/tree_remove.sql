-- Purpose: remove trees of instances, each whole or not at all, with all that belongs to them. A root that has a parent
--     stays, as does, unless forced, a tree in which something runs or that a living resource shows (one that was
--     archived keeps nothing). A tree of which an instance took a turn or got another resource since the statement began
--     stays: there may be a child, or a resource that shows it, which it does not see.
--     Gives a row for each root that is there: what became of it (Removed, HasParent, Running, Shown, Changed), and how
--     many instances its tree has.
-- Parameters: $1 ids of roots, $2 whether to force.
-- Locks: instances in instance_id order, then what belongs to them.
with recursive tree as (
    select i.instance_id as root_id, i.instance_id, i.turn, i.resource_uid
    from instances i
    where i.instance_id = any($1::text[])
    union
    select t.root_id, c.instance_id, c.turn, c.resource_uid
    from tree t
    join instances c on c.parent_id = t.instance_id
),
locked as materialized (
    select
        t.root_id, i.instance_id, i.parent_id, i.finished_at is null as is_running,
        i.turn <> t.turn or i.resource_uid is distinct from t.resource_uid as has_changed
    from tree t
    join instances i on i.instance_id = t.instance_id
    order by i.instance_id
    for update of i
),
judged as materialized (
    select
        l.root_id,
        count(*) as instances,
        case
            when bool_or(l.has_changed) then 'Changed'
            when bool_or(
                l.instance_id = l.root_id and exists (select from instances p where p.instance_id = l.parent_id)
            ) then 'HasParent'
            when $2::boolean then 'Removed'
            when bool_or(l.is_running) then 'Running'
            when bool_or(
                exists (
                    select from resources r
                    where r.instance_id = l.instance_id and r.gone_at is null and not r.is_archived
                )
            ) then 'Shown'
            else 'Removed'
        end as fate
    from locked l
    group by l.root_id
),
doomed as materialized (
    select coalesce(array_agg(l.instance_id), '{}') as ids
    from locked l
    where l.root_id in (select j.root_id from judged j where j.fate = 'Removed')
),
without_history as (
    delete from history where instance_id = any((select d.ids from doomed d)::text[])
),
without_inbox as (
    delete from inbox where instance_id = any((select d.ids from doomed d)::text[])
),
without_tasks as (
    delete from tasks where instance_id = any((select d.ids from doomed d)::text[])
),
without_keys as (
    delete from signal_keys where instance_id = any((select d.ids from doomed d)::text[])
),
removed as (
    delete from instances where instance_id = any((select d.ids from doomed d)::text[])
)
select j.root_id, j.fate, j.instances, pg_notify('perdure_finished', '') from judged j
