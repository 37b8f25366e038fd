-- How many instances are open, of which orchestration? Asked by whoever scrapes metrics, beside any number of finished ones.

-- Not `finished_at is null`: the planner would take this index for statements that know the ids, and read all of it.
create index instances_open on instances (name) where num_nulls(finished_at) = 1;
