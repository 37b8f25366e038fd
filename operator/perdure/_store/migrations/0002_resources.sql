-- The Kubernetes side: what was asked for by a resource, which run it got, and what was last written into its status.

create table resource_runs (
    namespace text not null,
    name text not null,
    last_run integer not null,
    primary key (namespace, name),
    constraint resource_runs_count_from_one check (last_run >= 1)
);
comment on table resource_runs is
    'The highest run ever used for a namespace/name. Outlives its resources: an instance id is never used twice.';

create table resources (
    uid uuid primary key,
    namespace text not null,
    name text not null,
    generation bigint not null,
    spec bytea,
    run integer,
    instance_id text,
    run_as text not null default '',
    refusal bytea,
    cancel_reason text,
    deleting boolean not null default false,
    gone_at timestamptz,
    observed_at timestamptz not null default now(),
    status bytea,
    status_turn integer,
    status_phase text,
    status_generation bigint,
    status_resource_version bigint,
    settled boolean not null default false,
    constraint resources_run_has_an_instance check ((run is null) = (instance_id is null)),
    constraint resources_living_have_a_spec check (spec is not null or gone_at is not null)
) with (fillfactor = 70);
comment on table resources is
    'One row per Orchestration resource ever seen, keyed by uid: a request, and the projection that it shows.';
comment on column resources.spec is
    'Canonical JSON (sorted keys). Bytes, not jsonb: an input may hold U+0000. Null for one that was gone before it was seen.';
comment on column resources.run is 'Given once, when the first spec that can run is seen; a uid never gets a second one.';
comment on column resources.refusal is 'JSON {reason, message}: why this spec is not carried out. Null when it is.';
comment on column resources.cancel_reason is 'The first wish to end the run: spec.cancel or deletion. It is sent once.';
comment on column resources.gone_at is 'When the resource was found deleted. Final: a late sight of the same uid revives nothing.';
comment on column resources.status is 'The status last written, as JSON; what follows says what it was made of.';
comment on column resources.status_resource_version is
    'The resource version that the write got. Of two writers the higher one tells what the API server holds.';
comment on column resources.settled is 'The written status is final for this generation; nothing looks at the row again.';

-- A run belongs to one resource.
create unique index resources_by_instance on resources (instance_id) where instance_id is not null;
-- The sweep behind the projector: only what is not settled.
create index resources_unsettled on resources (uid) where not settled and gone_at is null;
-- Forgetting what is long gone.
create index resources_gone on resources (gone_at) where gone_at is not null;
