-- Signals that were asked for by a resource: whom each is for, what became of it, and what its status shows.

create table signal_resources (
    uid uuid primary key,
    namespace text not null,
    name text not null,
    generation bigint not null,
    created_at timestamptz not null default now(),
    target text not null default '',
    signal text not null default '',
    message bytea,
    config_map text,
    config_key text,
    ttl_seconds integer,
    deleting boolean not null default false,
    gone_at timestamptz,
    observed_at timestamptz not null default now(),
    phase text not null default 'Pending',
    reason text not null default '',
    detail text not null default '',
    instance_id text,
    decided_at timestamptz,
    tries integer not null default 0,
    retry_at timestamptz,
    expires_at timestamptz,
    revision integer not null default 0,
    shown_revision integer not null default -1,
    status bytea,
    constraint signal_resources_phase_is_known check (phase in ('Pending', 'Delivered', 'Failed')),
    constraint signal_resources_decided_say_when check ((decided_at is null) = (phase = 'Pending')),
    constraint signal_resources_delivered_say_to_whom check (phase <> 'Delivered' or instance_id is not null),
    constraint signal_resources_payload_has_one_source check (num_nulls(config_map, config_key) in (0, 2))
) with (fillfactor = 70);
comment on table signal_resources is
    'One row per OrchestrationSignal resource ever seen, keyed by uid. It remembers the delivery: a run may be removed, and'
    ' the resource must not reach the next one.';
comment on column signal_resources.created_at is 'When the API server made it, in whole seconds: of two the older is sent first.';
comment on column signal_resources.target is 'The name of the Orchestration it is for, in the same namespace.';
comment on column signal_resources.message is
    'JSON of the event, as the inbox takes it; null when its payload stands in a ConfigMap, and once it is decided.';
comment on column signal_resources.config_map is 'Where the payload stands, with config_key; read at delivery as the run.';
comment on column signal_resources.phase is 'Decided once: Delivered and Failed are final.';
comment on column signal_resources.reason is 'Why, in a word of the conditions; empty before anybody tried.';
comment on column signal_resources.detail is 'What was said about it, for people.';
comment on column signal_resources.retry_at is 'Not to be tried again before, by the clock; news of its run come first.';
comment on column signal_resources.expires_at is 'When the resource is to be deleted, if it asks for that.';
comment on column signal_resources.revision is 'Counts what its status has to show; shown_revision is what it shows.';
comment on column signal_resources.status is 'The status last written, as JSON.';

-- Whom a run that has begun, or the clock, brings forward.
create index signal_resources_pending on signal_resources (namespace, target) where phase = 'Pending' and gone_at is null;
create index signal_resources_unshown on signal_resources (uid) where revision <> shown_revision and gone_at is null;
create index signal_resources_expiring on signal_resources (expires_at) where expires_at is not null and gone_at is null;
create index signal_resources_gone on signal_resources (gone_at) where gone_at is not null;

-- The run that a name has now.
create index resources_living_by_name on resources (namespace, name) where gone_at is null;
