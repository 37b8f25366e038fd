-- Purpose: find what is due to be done, by the clock or since runs have ended, for living resources: Protect and Release put
--     a finalizer on and take it off, Begin looks at a changed request whose turn it is, Expire deletes a resource after its
--     TTL. Of more than can be done at once some are drawn, so that those which the API server refuses stop no others.
--     Without a uid: Remove says that runs are to be removed by their age, Wait that something will be due soon, Listen
--     that something will be due when a run ends, which may take its time.
-- Parameters: $1 namespaces, empty for all, $2 seconds after which nothing keeps a resource that is being deleted, $3 how many
--     of each.
-- Locks: none. Reads partial indexes, which hold only what is under way.
with kept as (
    select
        r.uid, r.namespace, r.name, r.generation, r.deleting, r.has_finalizer,
        r.wants_finalizer
        and (r.deleting_at is null or r.deleting_at > now() - make_interval(secs => $2::float8))
        and (
            r.run is null
            or r.waiting <> ''
            or (
                select i.finished_at is null
                from instances i
                where i.instance_id = r.instance_id and i.resource_uid = r.uid
            ) is true
        ) as is_to_have
    from resources r
    where (r.has_finalizer or r.wants_finalizer)
        and r.gone_at is null
        and (cardinality($1::text[]) = 0 or r.namespace = any($1::text[]))
),
waiting as (
    select
        r.uid, r.namespace, r.name, r.generation, r.refusal is null and (r.has_finalizer or not r.wants_finalizer) as is_wanted,
        r.cancel_reason is not null as is_cancelled,
        (
            select i.finished_at is null
            from instances i
            where i.instance_id = r.instance_id and i.resource_uid = r.uid
        ) is true as is_open
    from resources r
    where r.waiting <> '' and r.gone_at is null and (cardinality($1::text[]) = 0 or r.namespace = any($1::text[]))
)
(
    select case when is_to_have then 'Protect' else 'Release' end as chore, uid, namespace, name, generation
    from kept
    where has_finalizer <> is_to_have
    order by random()
    limit $3::integer
)
union all
(
    select 'Begin', uid, namespace, name, generation from waiting where is_wanted and not is_open order by random() limit $3::integer
)
union all
(
    select 'Expire', r.uid, r.namespace, r.name, r.generation
    from resources r
    where r.expires_at <= now()
        and r.expires_at is not null
        and r.gone_at is null
        and r.settled
        and not r.deleting
        and not r.has_finalizer -- that is taken out first
        and (cardinality($1::text[]) = 0 or r.namespace = any($1::text[]))
    order by random()
    limit $3::integer
)
union all
select 'Remove', null, '', '', 0
where exists (select from instances i where i.remove_at is not null and i.remove_at <= now())
    or exists (
        select
        from instances i
        where i.finished_at is not null and i.retention_seconds is not null and i.remove_at is null
    )
union all
select 'Wait', null, '', '', 0
where exists (select from kept where deleting and has_finalizer) or exists (select from waiting where is_open and is_cancelled)
union all
select 'Listen', null, '', '', 0
where exists (select from waiting where is_open and not is_cancelled)
