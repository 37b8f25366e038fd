-- What several statements ask has one answer each: may a signal get further, and is the run of a tick over?

-- In which order they go on when their run has room again.
create index signal_resources_full on signal_resources (namespace, target, created_at, name, uid)
where phase = 'Pending' and gone_at is null and reason = 'SignalsFull';

create view signals_to_try as
select kept.uid, kept.created_at, kept.namespace, kept.name, kept.message
from signal_resources as kept
where
    kept.phase = 'Pending'
    and kept.gone_at is null
    and not kept.deleting
    and (
        kept.reason = ''
        or (kept.reason not in ('RunMissing', 'SignalsFull') and kept.retry_at <= now())
        or (
            kept.reason = 'SignalsFull'
            and (kept.namespace, kept.target) in (
                select first.namespace, first.target
                from (
                    select distinct on (namespace, target) namespace, target, retry_at
                    from signal_resources
                    where phase = 'Pending' and gone_at is null and reason = 'SignalsFull' and not deleting
                    order by namespace, target, created_at, name, uid
                ) as first
                where first.retry_at <= now()
            )
        )
        or (
            kept.reason = 'RunMissing'
            and exists (
                select
                from resources
                where
                    resources.namespace = kept.namespace
                    and resources.name = kept.target
                    and resources.gone_at is null
                    and resources.instance_id is not null
            )
        )
    );
comment on view signals_to_try is
    'The signal resources that may get further now: those that nobody has tried yet, those whose run was not there and is'
    ' now, and those whose pause is over: of those for whom a run is too full all, once that of the first is. Who waits for a'
    ' run that is still not there costs one look.';

create view schedule_runs as
select
    schedule_ticks.schedule_uid,
    schedule_ticks.tick_at,
    schedule_ticks.name,
    schedule_ticks.orchestration_uid,
    schedule_ticks.created_at,
    runs.phase,
    runs.finished_at,
    coalesce(runs.are_over, resources.gone_at is not null or resources.instance_id is not null, false) as is_over,
    runs.are_over is null and resources.uid is null as is_unseen,
    resources.gone_at is null and resources.cancel_reason is null as may_be_cancelled
from schedule_ticks
left join resources on resources.uid = schedule_ticks.orchestration_uid
cross join lateral (
    select
        bool_and(instances.finished_at is not null) as are_over,
        (array_agg(instances.phase order by instances.finished_at desc))[1] as phase,
        max(instances.finished_at) as finished_at
    from instances
    where instances.resource_uid = schedule_ticks.orchestration_uid
) as runs
where schedule_ticks.outcome is null and schedule_ticks.orchestration_uid is not null;
comment on view schedule_runs is
    'The Orchestrations of ticks whose end nobody has noted. A run is over when its instance has ended, whatever became of'
    ' its resource, or when there is no instance: it was removed, or the resource went without one. One that has none yet is'
    ' about to begin; is_unseen: nobody has seen the Orchestration since it was created.';
