-- Purpose: give instances back, each with the moment when it next has something to do (null: only a message can help).
--     A message that came meanwhile has set wake_at and wins by being earlier; one that was noted but not taken in is
--     still in the inbox, and is something to do now. Who was given back has outlived its owner: no recoveries.
--     At another turn than the one it was left at somebody has gone on with it, and goes on.
-- Parameters: $1 owner uuid, $2 instance_ids text[], $3 wake_at timestamptz[], $4 turns integer[] (null: whichever, of one
--     that nobody here has worked on; its recoveries are not over).
-- Locks: instances in instance_id order.
with locked as materialized (
    select t.instance_id, t.wake_at, t.turn
    from (
        select instance_id, wake_at, turn
        from unnest($2::text[], $3::timestamptz[], $4::integer[]) as given (instance_id, wake_at, turn)
        order by instance_id
    ) t
    cross join lateral (
        select 1
        from instances i
        where i.instance_id = t.instance_id
            and i.owner_id is not distinct from $1::uuid
            and (t.turn is null or i.turn = t.turn)
        for update
    ) owned
)
update instances i
set
    owner_id = null,
    recoveries = case when l.turn is null then i.recoveries else 0 end,
    wake_at = case
        -- not `exists`: that may be planned as a hash of all messages there are
        when (select true from inbox m where m.instance_id = i.instance_id limit 1) then now()
        else least(i.wake_at, l.wake_at)
    end
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
