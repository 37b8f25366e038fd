-- Purpose: commit the turns of many instances, each all or nothing (I3), only for their owner and only the next turn (I4),
--     with all that they ask of others: instances to start, messages, activities for a queue.
--     The instance row is the fence: every other write comes from the rows that the update returned. Values are passed
--     through from step to step, since joining one CTE to another would be planned as a nested loop over guesses.
-- Parameters: $1 owner uuid, $2 turns (a JSON array of objects with the columns of `t` below; what is a payload there is
--     the number of one in $4, from 1), $3 the bodies of the turns in the same order, $4 payloads. Of a turn: messages taken
--     in, seqs of tasks that are over, what the next execution begins with (null: it goes on) and the last one whose history
--     is forgotten then, is_ending (whether what is sent to it by this batch asks it to end; null: nothing is sent to it),
--     starts (seq null: detached), sent (execution null: any), queued. A row whose turn is null is somebody outside of the
--     batch who gets a message. A last turn takes all messages and tasks of its instance with it, the last of an execution
--     all tasks.
--     What one turn does to its own instance, commit_turn.sql does too: who changes one changes both.
--     Asks are for turns that start, send or queue something; cleanup for those that took messages in, have tasks that are
--     over, or are the last of their execution. A batch without any such turn is committed without that part.
--     Gives the turns that were accepted, with whether there are news that a claim may have had to skip while this held the
--     row; and the instances that were started, with who asked for them as a child.
-- Locks: instances in instance_id order, then new instances in that order, then inbox and tasks rows of those instances.
with locked as materialized (
    -- Who is not ours, or not at this turn, takes no turn; a message for it is one for somebody outside. Nor does one
    -- whose id is used again: it was made at another moment than the one that is meant.
    select
        t.*,
        t.turn is not null and i.owner_id is not distinct from $1::uuid and i.turn = t.turn
            and i.created_at is not distinct from coalesce(t.created_at, i.created_at) as is_accepted,
        i.finished_at is not null as is_finished
    from rows from (
        json_to_recordset($2::json) as (
            instance_id text, execution integer, turn integer, at timestamptz, phase text, version text,
            output integer, error integer, custom_status integer, messages bigint[], tasks integer[],
            next_execution integer, forgotten integer, next_input integer, carried integer, buffered integer,
            is_ending boolean, created_at timestamptz, starts json, sent json, queued json
        ),
        unnest($3::bytea[])
    ) as t (
        instance_id, execution, turn, at, phase, version, output, error, custom_status, messages, tasks,
        next_execution, forgotten, next_input, carried, buffered, is_ending, created_at, starts, sent, queued, body
    )
    join instances i on i.instance_id = t.instance_id
    order by t.instance_id
    for update of i
),
updated as (
    update instances i
    set
        turn = l.turn + 1,
        phase = case
            when i.is_suspended and l.is_ending is not true and l.phase = 'Running' then 'Suspended' else l.phase
        end,
        version = l.version,
        output = ($4::bytea[])[l.output],
        error = ($4::bytea[])[l.error],
        custom_status = coalesce(($4::bytea[])[l.custom_status], i.custom_status),
        execution = coalesce(l.next_execution, i.execution),
        input = coalesce(($4::bytea[])[l.next_input], i.input),
        carried = case when l.next_execution is null then i.carried else ($4::bytea[])[l.carried] end,
        buffered_signals = l.buffered,
        recoveries = 0,
        hold_reason = case when i.is_suspended then i.hold_reason else '' end,
        started_at = coalesce(i.started_at, l.at),
        finished_at = case when l.phase in ('Completed', 'Failed', 'Cancelled') then l.at end,
        is_suspended = i.is_suspended and l.is_ending is not true and l.phase = 'Running',
        suspend_reason = case when l.is_ending is true or l.phase <> 'Running' then '' else i.suspend_reason end,
        owner_id = case when l.phase in ('Completed', 'Failed', 'Cancelled') then null else i.owner_id end,
        wake_at = case
            when l.phase in ('Completed', 'Failed', 'Cancelled') then null
            when l.is_ending is not null then now()
            else i.wake_at
        end
    from locked l
    where i.instance_id = l.instance_id and l.is_accepted
    returning
        l.instance_id, l.execution, l.turn, l.at, l.body, l.messages, l.tasks, l.next_execution, l.forgotten,
        l.starts, l.sent, l.queued,
        i.name, i.run_as, i.on_nondeterminism, i.finished_at, i.wake_at is not null as has_news,
        i.finished_at is not null or l.next_execution is not null as is_over
),
-- cleanup {
consumed as (
    -- By arrays of keys, here and below: joined, these tables would be read whole, since they are believed to be empty.
    delete from inbox
    where message_id = any(array(select unnest(u.messages) from updated u))
        or instance_id = any(array(select u.instance_id from updated u where u.finished_at is not null))
),
over as (
    delete from tasks t
    where t.instance_id = any(
            array(select u.instance_id from updated u where u.tasks is not null or u.is_over)
        )
        and (
            t.instance_id in (select u.instance_id from updated u where u.is_over)
            or (t.instance_id, t.execution, t.seq) in (
                select u.instance_id, u.execution, done.seq from updated u cross join lateral unnest(u.tasks) as done (seq)
            )
        )
),
-- }
-- asks {
started as (
    insert into instances (
        instance_id, name, version, input, run_as, on_nondeterminism,
        parent_id, parent_execution, parent_seq, created_at, wake_at
    )
    select
        s.instance_id, s.name, s.version, ($4::bytea[])[s.input], u.run_as, u.on_nondeterminism,
        case when s.seq is not null then u.instance_id end,
        case when s.seq is not null then u.execution end,
        s.seq, u.at, now()
    from updated u
    cross join lateral json_to_recordset(u.starts) as s (
        instance_id text, name text, version text, input integer, seq integer
    )
    order by s.instance_id
    on conflict (instance_id) do nothing
    returning instance_id, parent_id, parent_seq
),
-- What was left for an earlier one of the same id, whose removal could not see it, is not for this one.
cleared_inbox as (
    delete from inbox where instance_id = any(array(select s.instance_id from started s))
),
cleared_tasks as (
    delete from tasks where instance_id = any(array(select s.instance_id from started s))
),
cleared_keys as (
    delete from signal_keys where instance_id = any(array(select s.instance_id from started s))
),
sent as (
    insert into inbox (instance_id, kind, payload, execution)
    select m.instance_id, m.kind, ($4::bytea[])[m.payload], m.execution
    from updated u
    cross join lateral json_to_recordset(u.sent) as m (instance_id text, kind text, payload integer, execution integer)
    where (
            m.instance_id in ( -- also one that somebody else is starting, whom nobody can see yet
                select s.instance_id from updated u cross join lateral json_to_recordset(u.starts) as s (instance_id text)
            )
            or ( -- not `exists`: that may be planned as a hash of all instances there are
                select m.execution is null or i.execution = m.execution
                from instances i
                where i.instance_id = m.instance_id
            )
        )
        -- Who has ended, were it in this very commit, would never take it in.
        and m.instance_id not in (
            select l.instance_id
            from locked l
            where l.is_finished or (l.is_accepted and l.phase in ('Completed', 'Failed', 'Cancelled'))
        )
    returning instance_id
),
poked as (
    update instances i
    set
        wake_at = now(),
        is_suspended = i.is_suspended and not l.is_ending, -- a pause must not keep from ending whoever is told to
        suspend_reason = case when l.is_ending then '' else i.suspend_reason end,
        phase = case
            when not (l.is_ending and i.is_suspended) or i.hold_reason <> '' then i.phase
            when i.turn = 0 then 'Pending'
            else 'Running'
        end
    from locked l
    where i.instance_id = l.instance_id
        and not l.is_accepted
        and l.instance_id in (select s.instance_id from sent s) -- what a turn that was refused asks of others is refused too
),
queued as (
    insert into tasks (instance_id, execution, seq, queue, priority, activity, command, orchestration, run_as, asked_at)
    select
        u.instance_id, u.execution, q.seq, q.queue, q.priority, q.activity, ($4::bytea[])[q.command],
        u.name, u.run_as, u.at
    from updated u
    cross join lateral json_to_recordset(u.queued) as q (
        seq integer, queue text, priority integer, activity text, command integer
    )
),
-- }
-- cleanup {
pruned as (
    delete from history h
    using updated u
    where h.instance_id = u.instance_id and h.execution <= u.forgotten
),
-- }
recorded as (
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, execution, turn, at, body from updated
)
select instance_id, true as is_turn, has_news, null as parent_id, null as parent_seq from updated
-- asks {
union all
select instance_id, false, false, parent_id, parent_seq from started
-- }
