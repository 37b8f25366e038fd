-- What clients need: a signal sent twice under one key comes in once, for the life of its instance; why somebody paused one.

create table signal_keys (
    instance_id text not null,
    dedupe_key text not null,
    primary key (instance_id, dedupe_key)
);
comment on table signal_keys is
    'The keys under which signals were sent. A message is deleted when it is taken in; its key stays as long as its instance.';

alter table instances add column suspend_reason text not null default '';
comment on column instances.suspend_reason is 'Why somebody asked for the pause; empty when nobody did.';

-- What has ended, the oldest first: removing what is past its time without reading everything.
create index instances_by_end on instances (finished_at) where finished_at is not null;

-- What continued as new, and so has executions to prune.
create index instances_continued on instances (instance_id) where execution > 1;
