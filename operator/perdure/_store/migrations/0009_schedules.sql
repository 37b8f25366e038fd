-- Schedules: what they ask for, up to which moment their ticks are decided, and the runs that came of it.

create table schedules (
    uid uuid primary key,
    namespace text not null,
    name text not null,
    generation bigint not null,
    spec bytea,
    timing text not null default '',
    deleting boolean not null default false,
    gone_at timestamptz,
    observed_at timestamptz not null default now(),
    decided_until timestamptz not null default now(),
    next_at timestamptz default now(),
    last_tick_at timestamptz,
    last_successful_at timestamptz,
    missed bigint not null default 0,
    missed_tick_at timestamptz,
    missed_reason text not null default '',
    missed_message text not null default '',
    problem_reason text not null default '',
    problem_message text not null default '',
    changes bigint not null default 1,
    shown_changes bigint not null default 0,
    status bytea,
    status_resource_version bigint,
    constraint schedules_living_have_a_spec check (spec is not null or gone_at is not null),
    constraint schedules_missed_are_whole check ((missed = 0) = (missed_tick_at is null))
) with (fillfactor = 70);
comment on table schedules is 'One row per OrchestrationSchedule resource ever seen, keyed by uid.';
comment on column schedules.spec is 'Canonical JSON (sorted keys). Null for one that was gone before it was seen.';
comment on column schedules.timing is 'cron and time zone. Another one counts from the moment it is seen, not from before.';
comment on column schedules.decided_until is
    'What is to become of every tick up to here is decided, for good. It only grows: no tick is decided twice.';
comment on column schedules.next_at is 'When somebody has to look: a tick, or a changed spec. Null: not by itself.';
comment on column schedules.changes is 'Grows with all that may have to be shown or tidied up; shown_changes follows.';
comment on column schedules.problem_reason is
    'Why what a tick asks for could not be created when it was last tried; empty when it could.';
comment on column schedules.status is 'The status last written, as JSON.';
comment on column schedules.status_resource_version is
    'The resource version that the write got. Of two writers the higher one tells what the API server holds.';

-- Due ones: one look for all schedules.
create index schedules_due on schedules (next_at) where next_at is not null;
-- Those with something to show or to tidy up.
create index schedules_unshown on schedules (uid) where changes <> shown_changes and gone_at is null;
-- Forgetting what is long gone.
create index schedules_gone on schedules (gone_at) where gone_at is not null;

create table schedule_ticks (
    schedule_uid uuid not null references schedules on delete cascade,
    tick_at timestamptz not null,
    name text not null,
    decided_at timestamptz not null default now(),
    orchestration_uid uuid,
    created_at timestamptz,
    outcome text,
    primary key (schedule_uid, tick_at),
    constraint schedule_ticks_outcome_is_known check (outcome in ('Completed', 'Failed', 'Cancelled', 'Gone')),
    constraint schedule_ticks_created_are_whole check ((orchestration_uid is null) = (created_at is null)),
    constraint schedule_ticks_ended_had_begun check (outcome is null or orchestration_uid is not null)
) with (fillfactor = 70);
comment on table schedule_ticks is
    'A tick that is run: written before its Orchestration is created, and kept as long as that is there. The primary key'
    ' is the promise that a tick is run once.';
comment on column schedule_ticks.name is 'Of the Orchestration. The API server refuses a second one of that name.';
comment on column schedule_ticks.orchestration_uid is 'Null until the Orchestration is known to be there.';
comment on column schedule_ticks.outcome is 'The phase that its run ended with; Gone: it went without one. Null before.';

-- What is to be created still: after a crash, or while the API server is away.
create index schedule_ticks_uncreated on schedule_ticks (decided_at) where orchestration_uid is null;
-- Those whose run has not ended, as far as is known.
create index schedule_ticks_unfinished on schedule_ticks (schedule_uid) where outcome is null;
