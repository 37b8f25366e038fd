-- Purpose: announce a worker process under its new id; again is harmless (the answer to the first time may be lost).
-- Parameters: $1 worker_id uuid, $2 lease in seconds, $3 description text, $4 orchestrations text[] (name@version),
--     $5 queues text[] that it serves, $6 whether it has a cluster.
-- Locks: none but the new row.
insert into workers (worker_id, lease_until, description, orchestrations, queues, has_cluster)
values ($1::uuid, now() + make_interval(secs => $2::float8), $3::text, $4::text[], $5::text[], $6::boolean)
on conflict (worker_id) do update set lease_until = excluded.lease_until
returning clock_timestamp() as now
