-- Which activity, or which instance, do workers die of? What the dead leave behind as evidence.

alter table instances add column is_suspect boolean not null default false;
comment on column instances.recoveries is
    'Times its owner died without a turn since, as far as it may be to blame: one for all such deaths together, and one'
    ' for each while it was being tried.';
comment on column instances.is_suspect is
    'Its owner died and nothing says of what: the next one counts the loss of its activities.';

alter table tasks
    add column convictions integer not null default 0,
    add column trials integer not null default 0,
    add constraint tasks_trials_count_from_zero check (convictions >= 0 and trials >= 0),
    add constraint tasks_are_on_trial_somewhere check (worker_id is not null or not on_trial);
comment on column tasks.losses is 'Times a worker died of it, or of one of those that it was under suspicion with.';
comment on column tasks.convictions is 'Times a worker died while it alone was on trial, since it last stood one.';
comment on column tasks.trials is 'Times it was on trial; each lasts longer than the one before.';
comment on column tasks.on_trial is 'It is being watched: if its worker dies now, it is to blame, and those beside it are not.';

alter table workers add column trying text[] not null default '{}';
comment on column workers.trying is
    'Instances whose code it steps at this moment, and of which earlier owners may have died.';
