-- The inventory: which server holds which name, how it is, what happened to it.
--
-- A row of servers is one reservation, from its reserving to its release and, as history, beyond. Everything that was
-- written by an activity keeps the key of that activity (ctx.idempotency_key): its second attempt finds it and changes
-- nothing. Locks are taken in this order: the row of the server, its events, its health.

create table inventory.servers (
    server_id            bigint      generated always as identity primary key,
    namespace            text        not null,
    name                 text        not null,
    dns_label            text        not null,
    version              text        not null,
    storage              text        not null,
    owner                text        not null,
    actor                text        not null default '',
    state                text        not null default 'creating',
    state_at             timestamptz not null default now(),
    message              text        not null default '',
    details              jsonb       not null default '{}',
    failure              text,
    failed_at            timestamptz,
    consecutive_failures integer     not null default 0,
    health_since         timestamptz,
    last_ok_at           timestamptz,
    reserved_at          timestamptz not null default now(),
    reserved_key         text        not null,
    released_at          timestamptz,
    released_key         text,
    constraint servers_state_is_known check (
        state in ('creating', 'running', 'degraded', 'upgrading', 'deleting', 'failed', 'deleted')
    ),
    constraint servers_failure_is_whole check ((failure is null) = (failed_at is null)),
    constraint servers_failed_say_why check (state <> 'failed' or failure is not null),
    constraint servers_release_is_whole check ((released_at is null) = (released_key is null)),
    constraint servers_are_released_at_their_end check (released_at is null or state in ('deleted', 'failed')),
    constraint servers_failures_are_counted check (consecutive_failures >= 0)
);

-- A name has one holder in its namespace, and so has a DNS label: both are free when they were released, not before.
create unique index servers_one_holder_of_a_name on inventory.servers (namespace, name) where released_at is null;
create unique index servers_one_holder_of_a_label on inventory.servers (namespace, dns_label) where released_at is null;

-- An activity reserves once, whatever became of it since: an attempt that comes late takes no name that was given back.
create unique index servers_one_reservation_of_a_key on inventory.servers (namespace, name, reserved_key);

create table inventory.events (
    server_id  bigint      not null references inventory.servers on delete cascade,
    event_id   bigint      generated always as identity,
    at         timestamptz not null default now(),
    kind       text        not null,
    message    text        not null,
    key        text        not null,
    from_state text,
    to_state   text,
    primary key (server_id, event_id),
    constraint events_of_states_are_whole check ((from_state is null) or (to_state is not null))
);

-- What an activity says is written once.
create unique index events_one_of_a_key on inventory.events (server_id, key);

create table inventory.health (
    server_id  bigint           not null references inventory.servers on delete cascade,
    record_id  bigint           generated always as identity,
    at         timestamptz      not null default now(),
    healthy    boolean          not null,
    message    text             not null,
    latency_ms double precision,
    key        text             not null,
    primary key (server_id, record_id)
);

-- A look at a server counts once.
create unique index health_one_of_a_key on inventory.health (server_id, key);
