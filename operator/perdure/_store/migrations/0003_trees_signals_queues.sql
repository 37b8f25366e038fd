-- Trees of instances, signals, continuing as new, suspending, and activities that run elsewhere than on their owner.

alter table instances
    add column parent_id text,
    add column parent_execution integer,
    add column parent_seq integer,
    add column is_suspended boolean not null default false,
    add column on_nondeterminism text not null default 'Hold',
    add column buffered_signals integer not null default 0,
    add column carried bytea,
    add constraint instances_parent_is_whole check (num_nulls(parent_id, parent_execution, parent_seq) in (0, 3)),
    add constraint instances_on_nondeterminism_is_known check (on_nondeterminism in ('Hold', 'Fail')),
    add constraint instances_finished_are_not_suspended check (finished_at is null or not is_suspended);
comment on column instances.parent_id is
    'Who waits for its end, with execution and seq of the asking. Null for roots and for detached ones.';
comment on column instances.is_suspended is 'Somebody asked for a pause: it takes no turn until it is resumed.';
comment on column instances.on_nondeterminism is 'What becomes of code that does not fit the history: Hold it, or Fail it.';
comment on column instances.buffered_signals is 'Signals that came in and that its code has not waited for yet.';
comment on column instances.carried is
    'JSON: the signals that the last execution left over; they come first in the first turn of this one.';

-- The children of a parent: cancelling, deleting and showing a tree.
create index instances_by_parent on instances (parent_id) where parent_id is not null;

-- The claim, by what a worker can run: due rows that nobody here can run cost nothing.
drop index instances_claimable;
create index instances_claimable on instances (name, version, wake_at)
    where owner_id is null and wake_at is not null and not is_suspended;

alter table inbox
    add column execution integer,
    drop constraint inbox_kind_is_known,
    add constraint inbox_kind_is_known check (kind in ('Cancel', 'Terminate', 'Signal', 'Event'));
comment on column inbox.payload is
    'JSON. Cancel, Terminate: {"reason": ...}. Signal, Event: an event as history has it, with its type.';
comment on column inbox.execution is 'The execution a message is for; another one drops it. Null: whichever runs.';

alter table tasks
    add column queue text,
    add column priority integer not null default 0,
    add column command bytea,
    add column orchestration text not null default '',
    add column run_as text not null default '',
    add column asked_at timestamptz,
    add column worker_id uuid,
    add column claims integer not null default 0,
    add column detail bytea,
    add column on_trial boolean not null default false,
    add constraint tasks_queued_are_whole check (queue is null or (command is not null and asked_at is not null));
comment on column tasks.queue is 'Whoever serves this queue runs it. Null: it runs on the owner of its instance.';
comment on column tasks.command is 'JSON: what was asked for, as history has it. Only for a queued one.';
comment on column tasks.worker_id is 'Who runs it now, or has it on trial; null while it waits.';
comment on column tasks.claims is 'Times it was taken; with worker_id the fence of its result.';
comment on column tasks.detail is 'JSON: what the last heartbeat said; the next attempt is given it.';
comment on column tasks.on_trial is 'It was running when a worker died, and is being watched: another death is its own.';
create index tasks_claimable on tasks (queue, priority desc, visible_at) where queue is not null and worker_id is null;
create index tasks_taken on tasks (worker_id) where worker_id is not null;

create table queues (
    queue text primary key,
    max_running integer,
    per_second double precision,
    tokens double precision not null default 0,
    refilled_at timestamptz not null default now(),
    constraint queues_limits_are_positive check (max_running > 0 and per_second > 0)
);
comment on table queues is 'Limits of queues, over all workers. A queue without a row has none.';
comment on column queues.tokens is 'Starts left of the rate at refilled_at; at most those of one second, at least one.';

alter table workers add column queues text[] not null default '{}';
comment on column workers.queues is 'The queues whose activities it runs.';
