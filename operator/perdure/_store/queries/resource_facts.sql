-- Purpose: give what the statuses of these resources are made of, but for the history.
-- Parameters: $1 uids.
-- Locks: none.
select
    resources.uid,
    resources.namespace,
    resources.name,
    resources.generation,
    resources.spec,
    resources.refusal,
    resources.cancel_reason,
    resources.deleting,
    resources.has_finalizer,
    resources.wants_finalizer,
    resources.waiting,
    resources.ready_when,
    resources.is_archived,
    resources.observed_at,
    resources.instance_id,
    resources.status,
    resources.status_turn,
    resources.status_phase,
    resources.status_generation,
    resources.status_resource_version,
    instances.name as orchestration,
    instances.version,
    instances.phase,
    instances.execution,
    instances.turn,
    instances.owner_id is not null as is_owned,
    instances.hold_reason,
    instances.suspend_reason,
    instances.output,
    instances.error,
    instances.custom_status,
    instances.created_at,
    instances.started_at,
    instances.finished_at,
    retries.seqs,
    retries.failed_attempts,
    retries.next_at,
    retries.last_errors,
    retries.are_taken,
    retries.are_served
from unnest($1::uuid[]) as wanted (uid)
inner join resources on resources.uid = wanted.uid
left join instances on instances.instance_id = resources.instance_id and instances.resource_uid = resources.uid
left join lateral (
    select
        array_agg(tasks.seq order by tasks.seq) as seqs,
        array_agg(tasks.failed_attempts order by tasks.seq) as failed_attempts,
        array_agg(case when tasks.visible_at > now() then tasks.visible_at end order by tasks.seq) as next_at,
        array_agg(tasks.last_error order by tasks.seq) as last_errors,
        array_agg(tasks.queue is null or tasks.worker_id is not null order by tasks.seq) as are_taken,
        array_agg(
            tasks.queue is null or exists (
                select from workers where workers.lease_until > now() and tasks.queue = any(workers.queues)
            ) order by tasks.seq
        ) as are_served
    from tasks
    where tasks.instance_id = instances.instance_id and tasks.execution = instances.execution
) as retries on true
where resources.gone_at is null
