-- What a claim of queued activities reads of a row without opening its command, and what tells it that it comes late.

alter table tasks
    add column activity text not null default '',
    drop constraint tasks_queued_are_whole,
    add constraint tasks_queued_are_whole
        check (queue is null or (command is not null and asked_at is not null and activity <> ''));
comment on column tasks.activity is 'The name of a queued one: a worker takes only what it has registered.';

alter table queues
    add column started bigint not null default 0,
    add constraint queues_count_from_zero check (tokens >= 0 and started >= 0);
comment on column queues.started is
    'Attempts ever taken from it. A claim whose snapshot shows another number than the row that it has locked knows that'
    ' somebody took from the queue in between, and that it must not count on what it sees.';

-- How many of a queue run now: what its limit is about.
create index tasks_running on tasks (queue) where queue is not null and worker_id is not null;
