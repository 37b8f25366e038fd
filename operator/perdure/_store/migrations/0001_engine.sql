-- The engine's tables. Words as in docs: instance, execution, turn, history, inbox, task, worker, lease, owner.

create table workers (
    worker_id uuid primary key,
    lease_until timestamptz not null,
    started_at timestamptz not null default now(),
    description text not null,
    orchestrations text[] not null
);
comment on table workers is 'One row per live worker process; its heartbeat renews lease_until. A row past its lease is dead.';
comment on column workers.orchestrations is 'What the worker can run, as name@version.';

create table instances (
    instance_id text primary key,
    name text not null,
    version text not null default '',
    phase text not null default 'Pending',
    execution integer not null default 1,
    turn integer not null default 0,
    owner_id uuid,
    wake_at timestamptz,
    recoveries integer not null default 0,
    hold_reason text not null default '',
    run_as text not null default '',
    resource_uid uuid,
    input bytea not null,
    output bytea,
    error bytea,
    custom_status bytea,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    constraint instances_phase_is_known
        check (phase in ('Pending', 'Running', 'Suspended', 'Completed', 'Failed', 'Cancelled')),
    constraint instances_finished_have_no_owner
        check (finished_at is null or (owner_id is null and wake_at is null)),
    constraint instances_finished_at_is_terminal
        check ((finished_at is not null) = (phase in ('Completed', 'Failed', 'Cancelled'))),
    constraint instances_count_from_one check (execution >= 1 and turn >= 0)
) with (fillfactor = 60);
comment on table instances is 'One durable run. (owner_id, turn) is the fence: a commit names both and all its writes join on this row (I4).';
comment on column instances.version is 'Empty until the first turn pins the highest version of the worker that runs it.';
comment on column instances.turn is 'Number of turns committed over all executions; the next commit must name it.';
comment on column instances.wake_at is
    'Ownerless: when somebody should claim it, null when only a message can help. Owned: not null when its inbox has news.';
comment on column instances.recoveries is 'Times its owner died without a turn since.';
comment on column instances.run_as is 'The Kubernetes user its activities act as, or empty.';

-- The claim: ownerless and due. Hot updates of owned rows do not touch it.
create index instances_claimable on instances (wake_at) where owner_id is null and wake_at is not null;
-- The reaper and the release of a worker.
create index instances_owned on instances (owner_id) where owner_id is not null;
-- News for an owner: tiny, since the owner clears wake_at as it reads.
create index instances_with_news on instances (owner_id) where owner_id is not null and wake_at is not null;
create index instances_by_resource on instances (resource_uid) where resource_uid is not null;

create table history (
    instance_id text not null,
    execution integer not null,
    turn integer not null,
    at timestamptz not null,
    body bytea not null,
    primary key (instance_id, execution, turn)
);
comment on table history is 'One row per turn: events in, commands out, as JSON bytes. The primary key refuses a turn written twice (I3).';
comment on column history.at is 'The database''s time of the turn; what ctx.utcnow() returns in it.';

create table inbox (
    message_id bigint generated always as identity primary key,
    instance_id text not null,
    kind text not null,
    payload bytea not null,
    dedupe_key text,
    created_at timestamptz not null default now(),
    constraint inbox_kind_is_known check (kind in ('Cancel'))
);
comment on table inbox is 'Messages on their way to an instance; deleted by the turn that takes them in.';
create index inbox_by_instance on inbox (instance_id, message_id);
create unique index inbox_once on inbox (instance_id, dedupe_key) where dedupe_key is not null;

create table tasks (
    instance_id text not null,
    execution integer not null,
    seq integer not null,
    failed_attempts integer not null default 0,
    losses integer not null default 0,
    visible_at timestamptz not null default now(),
    last_error bytea,
    primary key (instance_id, execution, seq),
    constraint tasks_count_from_zero check (failed_attempts >= 0 and losses >= 0)
);
comment on table tasks is 'What of an activity must outlive its owner: attempts after the first, and everything found pending at a recovery (I10).';
comment on column tasks.losses is 'Times a worker died while it ran.';
