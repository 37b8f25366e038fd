-- The invariants, as far as one look at the committed tables shows them: one row for each violation.
-- Columns: rule, instance_id, detail.
select 'I3: history has every turn once, and the instance counts them' as rule, i.instance_id,
    format('turn %s, %s rows of history from %s to %s', i.turn, h.rows, h.first, h.last) as detail
from instances i
left join (
    select instance_id, count(*) as rows, min(turn) as first, max(turn) as last from history group by instance_id
) h using (instance_id)
where coalesce(h.last, -1) <> i.turn - 1 or coalesce(h.rows, 0) <> coalesce(h.last - h.first, -1) + 1
    or (h.first <> 0 and not exists (  -- unless the first executions were pruned
        select from history g where g.instance_id = i.instance_id and g.turn = h.first and g.execution > 1
    ))

union all
select 'I3: executions follow each other', h.instance_id, format('turn %s of execution %s', h.turn, h.execution)
from (
    select *, lag(execution, 1, execution) over (partition by instance_id order by turn) as before from history
) h
where h.execution not in (h.before, h.before + 1)

union all
select 'I7: turns have the time of the database', h.instance_id, format('turn %s at %s, now %s', h.turn, h.at, now())
from (select *, lag(at, 1, at) over (partition by instance_id, execution order by turn) as before from history) h
where h.at > now() or h.at < h.before

union all
select 'history belongs to an instance', h.instance_id, format('turn %s', h.turn)
from history h
where not exists (select from instances i where i.instance_id = h.instance_id)

union all
select 'I5: what has ended leaves nothing behind', i.instance_id, left_over.what
from instances i
join (
    select instance_id, 'message ' || message_id as what from inbox
    union all
    select instance_id, format('task %s of execution %s', seq, execution) from tasks
) left_over using (instance_id)
where i.finished_at is not null

union all
-- Its owner brings these on, so whoever has none must wake by itself.
select 'I5: who waits for a timer or for an activity of its own has an owner, or a time to wake', i.instance_id, c.command::text
from instances i
join history h on h.instance_id = i.instance_id and h.execution = i.execution
cross join lateral json_array_elements(convert_from(h.body, 'UTF8')::json -> 'commands') as c (command)
where i.finished_at is null and i.owner_id is null and i.wake_at is null and not i.is_suspended and i.hold_reason = ''
    and (c.command ->> 'type' = 'CreateTimer'
        or (c.command ->> 'type' = 'ScheduleActivity' and coalesce(c.command ->> 'queue', '') = ''))
    and not exists (
        select from history later
        cross join lateral (
            select * from json_array_elements(convert_from(later.body, 'UTF8')::json -> 'events')
            union all
            select * from json_array_elements(convert_from(later.body, 'UTF8')::json -> 'commands')
        ) as ended (what)
        where later.instance_id = h.instance_id and later.execution = h.execution
            and ended.what ->> 'seq' = c.command ->> 'seq'
            and ended.what ->> 'type'
                in ('TimerFired', 'ActivityCompleted', 'ActivityFailed', 'CancelTimer', 'CancelActivity')
    )

union all
select 'I5: a task belongs to nobody or to somebody on the list', t.instance_id, format('seq %s of %s', t.seq, t.worker_id)
from tasks t
where t.worker_id is not null and not exists (select from workers w where w.worker_id = t.worker_id)

union all
select 'a queue runs no more at once than it may', q.queue, format('%s of %s', count(*), q.max_running)
from queues q
join tasks t on t.queue = q.queue and t.worker_id is not null
group by q.queue, q.max_running
having count(*) > q.max_running

union all
-- A storm in which worker after worker dies may look like an instance that kills them; somebody resumes it then.
select 'I6: nothing is held, the code fits its history', i.instance_id, i.hold_reason || coalesce(convert_from(i.error, 'UTF8'), '')
from instances i
where i.hold_reason not in ('', 'Poison')

union all
select 'a child that is waited for has a parent', i.instance_id, i.parent_id
from instances i
where i.parent_id is not null and not exists (select from instances p where p.instance_id = i.parent_id)

union all
select 'phases follow turns', i.instance_id, format('%s at turn %s', i.phase, i.turn)
from instances i
where (i.turn > 0 and i.phase = 'Pending') or (i.turn = 0 and i.phase not in ('Pending', 'Suspended', 'Cancelled'))
