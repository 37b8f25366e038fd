-- Purpose: keep the last few servers that held a name, and forget those before them, with their events.
-- Parameters: $1 namespace, $2 name, $3 how many to keep.
-- Locks: the servers that go, their events; none of them is held by anybody else, and all are older than what is.
delete from inventory.servers
where namespace = $1 and name = $2 and released_at is not null
    and server_id <= (
        select server_id
        from inventory.servers
        where namespace = $1 and name = $2 and released_at is not null
        order by server_id desc
        limit 1 offset $3
    );
