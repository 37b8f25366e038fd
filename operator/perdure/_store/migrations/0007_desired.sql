-- What resources ask of their runs beyond a start: deadlines, changed requests, finalizers, tombstones, removal by age.

alter table instances
    add column deadline_at timestamptz,
    add column retention_seconds integer,
    add column remove_at timestamptz;
comment on column instances.deadline_at is
    'When it is ended as failed if it has not ended by itself; null once it was told, and where there is no such moment.';
comment on column instances.retention_seconds is 'How long after its end it is kept; null: as the settings of the worker say.';
comment on column instances.remove_at is 'Its end and retention_seconds, once somebody has added them.';

-- The deadlines, the next one first; those that have passed and were told are not among them.
create index instances_deadlines on instances (deadline_at) where deadline_at is not null and finished_at is null;
-- What has ended and is to be removed by an age of its own: those whose moment is not written yet, and the moments.
create index instances_to_plan on instances (finished_at)
    where finished_at is not null and retention_seconds is not null and remove_at is null;
create index instances_to_remove on instances (remove_at) where remove_at is not null;

alter table resources
    add column request text,
    add column told text,
    add column waiting text not null default '',
    add column timeout_seconds integer,
    add column ttl_seconds integer,
    add column deletion_policy text not null default 'Cancel',
    add column ready_when text not null default 'Completed',
    add column has_finalizer boolean not null default false,
    add column wants_finalizer boolean not null default false,
    add column deleting_at timestamptz,
    add column expires_at timestamptz,
    add column is_adopted boolean not null default false,
    add column is_archived boolean not null default false,
    add constraint resources_deletion_policy_is_known check (deletion_policy in ('Cancel', 'Compensate', 'Orphan')),
    add constraint resources_waiting_is_known check (waiting in ('', 'AfterCurrentRun', 'Signal', 'CancelCurrent'));
comment on column resources.run is
    'The present run. A uid gets another one only when its request changes and rerunPolicy says so.';
comment on column resources.cancel_reason is
    'The first wish to end the present run: spec.cancel, deletion, or a changed request. It is sent once.';
comment on column resources.request is 'Digest of the request that the present run was started with.';
comment on column resources.told is 'Digest of the last request that the present run was told by a signal, or was started with.';
comment on column resources.waiting is 'The updatePolicy under which a changed request waits for the end of the present run.';
comment on column resources.has_finalizer is 'Whether our finalizer was in the resource when it was seen last.';
comment on column resources.wants_finalizer is 'Whether it should be, while the run is under way.';
comment on column resources.expires_at is 'When the resource is deleted, the run being finished and shown.';
comment on column resources.is_adopted is 'Its run was that of an earlier resource, which its TTL had removed: this one stays.';
comment on column resources.is_archived is 'The run was removed by its age; the status that was written last is what is left.';

-- What acts by the clock, or when a run has ended.
create index resources_waiting on resources (instance_id) where waiting <> '' and gone_at is null;
create index resources_finalizers on resources (uid) where (has_finalizer or wants_finalizer) and gone_at is null;
create index resources_expiring on resources (expires_at) where expires_at is not null and gone_at is null;

create table tombstones (
    namespace text not null,
    name text not null,
    uid uuid not null,
    request text not null,
    run integer not null,
    instance_id text not null,
    status bytea,
    buried_at timestamptz not null default now(),
    primary key (namespace, name)
);
comment on table tombstones is
    'Resources that their own TTL has removed. The same request under the same name adopts the finished run.';
