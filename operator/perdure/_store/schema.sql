-- The schema that migrations/ make, as pg_dump of Postgres 18 shows it. Generated: run `make schema`, do not edit.

CREATE UNLOGGED TABLE api_budget (
    is_the_only_row boolean DEFAULT true NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    granted integer NOT NULL,
    taken bigint NOT NULL,
    CONSTRAINT api_budget_counts_from_zero CHECK (((tokens >= (0)::double precision) AND (granted >= 0) AND (taken >= 0))),
    CONSTRAINT api_budget_is_one CHECK (is_the_only_row)
);

COMMENT ON TABLE api_budget IS 'The budget of requests to the API server that runs make, of all processes together. No row: nobody has asked yet.';

COMMENT ON COLUMN api_budget.tokens IS 'Requests that may be made at refilled_at; at most those of one second, at least one.';

COMMENT ON COLUMN api_budget.refilled_at IS 'In the future while the API server wants to be left alone.';

COMMENT ON COLUMN api_budget.granted IS 'How many tokens the last one who asked has got.';

COMMENT ON COLUMN api_budget.taken IS 'Tokens ever taken.';

CREATE TABLE history (
    instance_id text NOT NULL,
    execution integer NOT NULL,
    turn integer NOT NULL,
    at timestamp with time zone NOT NULL,
    body bytea NOT NULL
);

COMMENT ON TABLE history IS 'One row per turn: events in, commands out, as JSON bytes. The primary key refuses a turn written twice (I3).';

COMMENT ON COLUMN history.at IS 'The database''s time of the turn; what ctx.utcnow() returns in it.';

CREATE TABLE inbox (
    message_id bigint NOT NULL,
    instance_id text NOT NULL,
    kind text NOT NULL,
    payload bytea NOT NULL,
    dedupe_key text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    execution integer,
    CONSTRAINT inbox_kind_is_known CHECK ((kind = ANY (ARRAY['Cancel'::text, 'Terminate'::text, 'Signal'::text, 'Event'::text])))
);

COMMENT ON TABLE inbox IS 'Messages on their way to an instance; deleted by the turn that takes them in.';

COMMENT ON COLUMN inbox.payload IS 'JSON. Cancel, Terminate: {"reason": ...}. Signal, Event: an event as history has it, with its type.';

COMMENT ON COLUMN inbox.execution IS 'The execution a message is for; another one drops it. Null: whichever runs.';

ALTER TABLE inbox ALTER COLUMN message_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME inbox_message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE installation (
    is_the_only_row boolean DEFAULT true NOT NULL,
    cluster_uid uuid NOT NULL,
    tied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT installation_is_one CHECK (is_the_only_row)
);

COMMENT ON TABLE installation IS 'The cluster whose resources this database knows, by the uid of its namespace kube-system. No row: no operator yet.';

CREATE TABLE instances (
    instance_id text NOT NULL,
    name text NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    phase text DEFAULT 'Pending'::text NOT NULL,
    execution integer DEFAULT 1 NOT NULL,
    turn integer DEFAULT 0 NOT NULL,
    owner_id uuid,
    wake_at timestamp with time zone,
    recoveries integer DEFAULT 0 NOT NULL,
    hold_reason text DEFAULT ''::text NOT NULL,
    run_as text DEFAULT ''::text NOT NULL,
    resource_uid uuid,
    input bytea NOT NULL,
    output bytea,
    error bytea,
    custom_status bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    parent_id text,
    parent_execution integer,
    parent_seq integer,
    is_suspended boolean DEFAULT false NOT NULL,
    on_nondeterminism text DEFAULT 'Hold'::text NOT NULL,
    buffered_signals integer DEFAULT 0 NOT NULL,
    carried bytea,
    suspend_reason text DEFAULT ''::text NOT NULL,
    is_suspect boolean DEFAULT false NOT NULL,
    deadline_at timestamp with time zone,
    retention_seconds integer,
    remove_at timestamp with time zone,
    CONSTRAINT instances_count_from_one CHECK (((execution >= 1) AND (turn >= 0))),
    CONSTRAINT instances_finished_are_not_suspended CHECK (((finished_at IS NULL) OR (NOT is_suspended))),
    CONSTRAINT instances_finished_at_is_terminal CHECK (((finished_at IS NOT NULL) = (phase = ANY (ARRAY['Completed'::text, 'Failed'::text, 'Cancelled'::text])))),
    CONSTRAINT instances_finished_have_no_owner CHECK (((finished_at IS NULL) OR ((owner_id IS NULL) AND (wake_at IS NULL)))),
    CONSTRAINT instances_on_nondeterminism_is_known CHECK ((on_nondeterminism = ANY (ARRAY['Hold'::text, 'Fail'::text]))),
    CONSTRAINT instances_parent_is_whole CHECK ((num_nulls(parent_id, parent_execution, parent_seq) = ANY (ARRAY[0, 3]))),
    CONSTRAINT instances_phase_is_known CHECK ((phase = ANY (ARRAY['Pending'::text, 'Running'::text, 'Suspended'::text, 'Completed'::text, 'Failed'::text, 'Cancelled'::text])))
)
WITH (fillfactor='60');

COMMENT ON TABLE instances IS 'One durable run. (owner_id, turn) is the fence: a commit names both and all its writes join on this row (I4).';

COMMENT ON COLUMN instances.version IS 'Empty until the first turn pins the highest version of the worker that runs it.';

COMMENT ON COLUMN instances.turn IS 'Number of turns committed over all executions; the next commit must name it.';

COMMENT ON COLUMN instances.wake_at IS 'Ownerless: when somebody should claim it, null when only a message can help. Owned: not null when its inbox has news.';

COMMENT ON COLUMN instances.recoveries IS 'Times its owner died without a turn since, as far as it may be to blame: one for all such deaths together, and one for each while it was being tried.';

COMMENT ON COLUMN instances.run_as IS 'The Kubernetes user its activities act as, or empty.';

COMMENT ON COLUMN instances.parent_id IS 'Who waits for its end, with execution and seq of the asking. Null for roots and for detached ones.';

COMMENT ON COLUMN instances.is_suspended IS 'Somebody asked for a pause: it takes no turn until it is resumed.';

COMMENT ON COLUMN instances.on_nondeterminism IS 'What becomes of code that does not fit the history: Hold it, or Fail it.';

COMMENT ON COLUMN instances.buffered_signals IS 'Signals that came in and that its code has not waited for yet.';

COMMENT ON COLUMN instances.carried IS 'JSON: the signals that the last execution left over; they come first in the first turn of this one.';

COMMENT ON COLUMN instances.suspend_reason IS 'Why somebody asked for the pause; empty when nobody did.';

COMMENT ON COLUMN instances.is_suspect IS 'Its owner died and nothing says of what: the next one counts the loss of its activities.';

COMMENT ON COLUMN instances.deadline_at IS 'When it is ended as failed if it has not ended by itself; null once it was told, and where there is no such moment.';

COMMENT ON COLUMN instances.retention_seconds IS 'How long after its end it is kept; null: as the settings of the worker say.';

COMMENT ON COLUMN instances.remove_at IS 'Its end and retention_seconds, once somebody has added them.';

CREATE TABLE perdure_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE queues (
    queue text NOT NULL,
    max_running integer,
    per_second double precision,
    tokens double precision DEFAULT 0 NOT NULL,
    refilled_at timestamp with time zone DEFAULT now() NOT NULL,
    started bigint DEFAULT 0 NOT NULL,
    CONSTRAINT queues_count_from_zero CHECK (((tokens >= (0)::double precision) AND (started >= 0))),
    CONSTRAINT queues_limits_are_positive CHECK (((max_running > 0) AND (per_second > (0)::double precision)))
);

COMMENT ON TABLE queues IS 'Limits of queues, over all workers. A queue without a row has none.';

COMMENT ON COLUMN queues.tokens IS 'Starts left of the rate at refilled_at; at most those of one second, at least one.';

COMMENT ON COLUMN queues.started IS 'Attempts ever taken from it. A claim whose snapshot shows another number than the row that it has locked knows that somebody took from the queue in between, and that it must not count on what it sees.';

CREATE TABLE resource_runs (
    namespace text NOT NULL,
    name text NOT NULL,
    last_run integer NOT NULL,
    CONSTRAINT resource_runs_count_from_one CHECK ((last_run >= 1))
);

COMMENT ON TABLE resource_runs IS 'The highest run ever used for a namespace/name. Outlives its resources: an instance id is never used twice.';

CREATE TABLE resources (
    uid uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    spec bytea,
    run integer,
    instance_id text,
    run_as text DEFAULT ''::text NOT NULL,
    refusal bytea,
    cancel_reason text,
    deleting boolean DEFAULT false NOT NULL,
    gone_at timestamp with time zone,
    observed_at timestamp with time zone DEFAULT now() NOT NULL,
    status bytea,
    status_turn integer,
    status_phase text,
    status_generation bigint,
    status_resource_version bigint,
    settled boolean DEFAULT false NOT NULL,
    request text,
    told text,
    waiting text DEFAULT ''::text NOT NULL,
    timeout_seconds integer,
    ttl_seconds integer,
    deletion_policy text DEFAULT 'Cancel'::text NOT NULL,
    ready_when text DEFAULT 'Completed'::text NOT NULL,
    has_finalizer boolean DEFAULT false NOT NULL,
    wants_finalizer boolean DEFAULT false NOT NULL,
    deleting_at timestamp with time zone,
    expires_at timestamp with time zone,
    is_adopted boolean DEFAULT false NOT NULL,
    is_archived boolean DEFAULT false NOT NULL,
    CONSTRAINT resources_deletion_policy_is_known CHECK ((deletion_policy = ANY (ARRAY['Cancel'::text, 'Compensate'::text, 'Orphan'::text]))),
    CONSTRAINT resources_living_have_a_spec CHECK (((spec IS NOT NULL) OR (gone_at IS NOT NULL))),
    CONSTRAINT resources_run_has_an_instance CHECK (((run IS NULL) = (instance_id IS NULL))),
    CONSTRAINT resources_waiting_is_known CHECK ((waiting = ANY (ARRAY[''::text, 'AfterCurrentRun'::text, 'Signal'::text, 'CancelCurrent'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE resources IS 'One row per Orchestration resource ever seen, keyed by uid: a request, and the projection that it shows.';

COMMENT ON COLUMN resources.spec IS 'Canonical JSON (sorted keys). Bytes, not jsonb: an input may hold U+0000. Null for one that was gone before it was seen.';

COMMENT ON COLUMN resources.run IS 'The present run. A uid gets another one only when its request changes and rerunPolicy says so.';

COMMENT ON COLUMN resources.refusal IS 'JSON {reason, message}: why this spec is not carried out. Null when it is.';

COMMENT ON COLUMN resources.cancel_reason IS 'The first wish to end the present run: spec.cancel, deletion, or a changed request. It is sent once.';

COMMENT ON COLUMN resources.gone_at IS 'When the resource was found deleted. Final: a late sight of the same uid revives nothing.';

COMMENT ON COLUMN resources.status IS 'The status last written, as JSON; what follows says what it was made of.';

COMMENT ON COLUMN resources.status_resource_version IS 'The resource version that the write got. Of two writers the higher one tells what the API server holds.';

COMMENT ON COLUMN resources.settled IS 'The written status is final for this generation; nothing looks at the row again.';

COMMENT ON COLUMN resources.request IS 'Digest of the request that the present run was started with.';

COMMENT ON COLUMN resources.told IS 'Digest of the last request that the present run was told by a signal, or was started with.';

COMMENT ON COLUMN resources.waiting IS 'The updatePolicy under which a changed request waits for the end of the present run.';

COMMENT ON COLUMN resources.has_finalizer IS 'Whether our finalizer was in the resource when it was seen last.';

COMMENT ON COLUMN resources.wants_finalizer IS 'Whether it should be, while the run is under way.';

COMMENT ON COLUMN resources.expires_at IS 'When the resource is deleted, the run being finished and shown.';

COMMENT ON COLUMN resources.is_adopted IS 'Its run was that of an earlier resource, which its TTL had removed: this one stays.';

COMMENT ON COLUMN resources.is_archived IS 'The run was removed by its age; the status that was written last is what is left.';

CREATE TABLE schedule_ticks (
    schedule_uid uuid NOT NULL,
    tick_at timestamp with time zone NOT NULL,
    name text NOT NULL,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    orchestration_uid uuid,
    created_at timestamp with time zone,
    outcome text,
    CONSTRAINT schedule_ticks_created_are_whole CHECK (((orchestration_uid IS NULL) = (created_at IS NULL))),
    CONSTRAINT schedule_ticks_ended_had_begun CHECK (((outcome IS NULL) OR (orchestration_uid IS NOT NULL))),
    CONSTRAINT schedule_ticks_outcome_is_known CHECK ((outcome = ANY (ARRAY['Completed'::text, 'Failed'::text, 'Cancelled'::text, 'Gone'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE schedule_ticks IS 'A tick that is run: written before its Orchestration is created, and kept as long as that is there. The primary key is the promise that a tick is run once.';

COMMENT ON COLUMN schedule_ticks.name IS 'Of the Orchestration. The API server refuses a second one of that name.';

COMMENT ON COLUMN schedule_ticks.orchestration_uid IS 'Null until the Orchestration is known to be there.';

COMMENT ON COLUMN schedule_ticks.outcome IS 'The phase that its run ended with; Gone: it went without one. Null before.';

CREATE VIEW schedule_runs AS
 SELECT schedule_ticks.schedule_uid,
    schedule_ticks.tick_at,
    schedule_ticks.name,
    schedule_ticks.orchestration_uid,
    schedule_ticks.created_at,
    runs.phase,
    runs.finished_at,
    COALESCE(runs.are_over, ((resources.gone_at IS NOT NULL) OR (resources.instance_id IS NOT NULL)), false) AS is_over,
    ((runs.are_over IS NULL) AND (resources.uid IS NULL)) AS is_unseen,
    ((resources.gone_at IS NULL) AND (resources.cancel_reason IS NULL)) AS may_be_cancelled
   FROM ((schedule_ticks
     LEFT JOIN resources ON ((resources.uid = schedule_ticks.orchestration_uid)))
     CROSS JOIN LATERAL ( SELECT bool_and((instances.finished_at IS NOT NULL)) AS are_over,
            (array_agg(instances.phase ORDER BY instances.finished_at DESC))[1] AS phase,
            max(instances.finished_at) AS finished_at
           FROM instances
          WHERE (instances.resource_uid = schedule_ticks.orchestration_uid)) runs)
  WHERE ((schedule_ticks.outcome IS NULL) AND (schedule_ticks.orchestration_uid IS NOT NULL));

COMMENT ON VIEW schedule_runs IS 'The Orchestrations of ticks whose end nobody has noted. A run is over when its instance has ended, whatever became of its resource, or when there is no instance: it was removed, or the resource went without one. One that has none yet is about to begin; is_unseen: nobody has seen the Orchestration since it was created.';

CREATE TABLE schedules (
    uid uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    spec bytea,
    timing text DEFAULT ''::text NOT NULL,
    deleting boolean DEFAULT false NOT NULL,
    gone_at timestamp with time zone,
    observed_at timestamp with time zone DEFAULT now() NOT NULL,
    decided_until timestamp with time zone DEFAULT now() NOT NULL,
    next_at timestamp with time zone DEFAULT now(),
    last_tick_at timestamp with time zone,
    last_successful_at timestamp with time zone,
    missed bigint DEFAULT 0 NOT NULL,
    missed_tick_at timestamp with time zone,
    missed_reason text DEFAULT ''::text NOT NULL,
    missed_message text DEFAULT ''::text NOT NULL,
    problem_reason text DEFAULT ''::text NOT NULL,
    problem_message text DEFAULT ''::text NOT NULL,
    changes bigint DEFAULT 1 NOT NULL,
    shown_changes bigint DEFAULT 0 NOT NULL,
    status bytea,
    status_resource_version bigint,
    CONSTRAINT schedules_living_have_a_spec CHECK (((spec IS NOT NULL) OR (gone_at IS NOT NULL))),
    CONSTRAINT schedules_missed_are_whole CHECK (((missed = 0) = (missed_tick_at IS NULL)))
)
WITH (fillfactor='70');

COMMENT ON TABLE schedules IS 'One row per OrchestrationSchedule resource ever seen, keyed by uid.';

COMMENT ON COLUMN schedules.spec IS 'Canonical JSON (sorted keys). Null for one that was gone before it was seen.';

COMMENT ON COLUMN schedules.timing IS 'cron and time zone. Another one counts from the moment it is seen, not from before.';

COMMENT ON COLUMN schedules.decided_until IS 'What is to become of every tick up to here is decided, for good. It only grows: no tick is decided twice.';

COMMENT ON COLUMN schedules.next_at IS 'When somebody has to look: a tick, or a changed spec. Null: not by itself.';

COMMENT ON COLUMN schedules.problem_reason IS 'Why what a tick asks for could not be created when it was last tried; empty when it could.';

COMMENT ON COLUMN schedules.changes IS 'Grows with all that may have to be shown or tidied up; shown_changes follows.';

COMMENT ON COLUMN schedules.status IS 'The status last written, as JSON.';

COMMENT ON COLUMN schedules.status_resource_version IS 'The resource version that the write got. Of two writers the higher one tells what the API server holds.';

CREATE TABLE signal_keys (
    instance_id text NOT NULL,
    dedupe_key text NOT NULL
);

COMMENT ON TABLE signal_keys IS 'The keys under which signals were sent. A message is deleted when it is taken in; its key stays as long as its instance.';

CREATE TABLE signal_resources (
    uid uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    generation bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    target text DEFAULT ''::text NOT NULL,
    signal text DEFAULT ''::text NOT NULL,
    message bytea,
    config_map text,
    config_key text,
    ttl_seconds integer,
    deleting boolean DEFAULT false NOT NULL,
    gone_at timestamp with time zone,
    observed_at timestamp with time zone DEFAULT now() NOT NULL,
    phase text DEFAULT 'Pending'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    instance_id text,
    decided_at timestamp with time zone,
    tries integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    expires_at timestamp with time zone,
    revision integer DEFAULT 0 NOT NULL,
    shown_revision integer DEFAULT '-1'::integer NOT NULL,
    status bytea,
    CONSTRAINT signal_resources_decided_say_when CHECK (((decided_at IS NULL) = (phase = 'Pending'::text))),
    CONSTRAINT signal_resources_delivered_say_to_whom CHECK (((phase <> 'Delivered'::text) OR (instance_id IS NOT NULL))),
    CONSTRAINT signal_resources_payload_has_one_source CHECK ((num_nulls(config_map, config_key) = ANY (ARRAY[0, 2]))),
    CONSTRAINT signal_resources_phase_is_known CHECK ((phase = ANY (ARRAY['Pending'::text, 'Delivered'::text, 'Failed'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE signal_resources IS 'One row per OrchestrationSignal resource ever seen, keyed by uid. It remembers the delivery: a run may be removed, and the resource must not reach the next one.';

COMMENT ON COLUMN signal_resources.created_at IS 'When the API server made it, in whole seconds: of two the older is sent first.';

COMMENT ON COLUMN signal_resources.target IS 'The name of the Orchestration it is for, in the same namespace.';

COMMENT ON COLUMN signal_resources.message IS 'JSON of the event, as the inbox takes it; null when its payload stands in a ConfigMap, and once it is decided.';

COMMENT ON COLUMN signal_resources.config_map IS 'Where the payload stands, with config_key; read at delivery as the run.';

COMMENT ON COLUMN signal_resources.phase IS 'Decided once: Delivered and Failed are final.';

COMMENT ON COLUMN signal_resources.reason IS 'Why, in a word of the conditions; empty before anybody tried.';

COMMENT ON COLUMN signal_resources.detail IS 'What was said about it, for people.';

COMMENT ON COLUMN signal_resources.retry_at IS 'Not to be tried again before, by the clock; news of its run come first.';

COMMENT ON COLUMN signal_resources.expires_at IS 'When the resource is to be deleted, if it asks for that.';

COMMENT ON COLUMN signal_resources.revision IS 'Counts what its status has to show; shown_revision is what it shows.';

COMMENT ON COLUMN signal_resources.status IS 'The status last written, as JSON.';

CREATE VIEW signals_to_try AS
 SELECT uid,
    created_at,
    namespace,
    name,
    message
   FROM signal_resources kept
  WHERE ((phase = 'Pending'::text) AND (gone_at IS NULL) AND (NOT deleting) AND ((reason = ''::text) OR ((reason <> ALL (ARRAY['RunMissing'::text, 'SignalsFull'::text])) AND (retry_at <= now())) OR ((reason = 'SignalsFull'::text) AND ((namespace, target) IN ( SELECT first.namespace,
            first.target
           FROM ( SELECT DISTINCT ON (signal_resources.namespace, signal_resources.target) signal_resources.namespace,
                    signal_resources.target,
                    signal_resources.retry_at
                   FROM signal_resources
                  WHERE ((signal_resources.phase = 'Pending'::text) AND (signal_resources.gone_at IS NULL) AND (signal_resources.reason = 'SignalsFull'::text) AND (NOT signal_resources.deleting))
                  ORDER BY signal_resources.namespace, signal_resources.target, signal_resources.created_at, signal_resources.name, signal_resources.uid) first
          WHERE (first.retry_at <= now())))) OR ((reason = 'RunMissing'::text) AND (EXISTS ( SELECT
           FROM resources
          WHERE ((resources.namespace = kept.namespace) AND (resources.name = kept.target) AND (resources.gone_at IS NULL) AND (resources.instance_id IS NOT NULL)))))));

COMMENT ON VIEW signals_to_try IS 'The signal resources that may get further now: those that nobody has tried yet, those whose run was not there and is now, and those whose pause is over: of those for whom a run is too full all, once that of the first is. Who waits for a run that is still not there costs one look.';

CREATE TABLE tasks (
    instance_id text NOT NULL,
    execution integer NOT NULL,
    seq integer NOT NULL,
    failed_attempts integer DEFAULT 0 NOT NULL,
    losses integer DEFAULT 0 NOT NULL,
    visible_at timestamp with time zone DEFAULT now() NOT NULL,
    last_error bytea,
    queue text,
    priority integer DEFAULT 0 NOT NULL,
    command bytea,
    orchestration text DEFAULT ''::text NOT NULL,
    run_as text DEFAULT ''::text NOT NULL,
    asked_at timestamp with time zone,
    worker_id uuid,
    claims integer DEFAULT 0 NOT NULL,
    detail bytea,
    on_trial boolean DEFAULT false NOT NULL,
    activity text DEFAULT ''::text NOT NULL,
    convictions integer DEFAULT 0 NOT NULL,
    trials integer DEFAULT 0 NOT NULL,
    CONSTRAINT tasks_are_on_trial_somewhere CHECK (((worker_id IS NOT NULL) OR (NOT on_trial))),
    CONSTRAINT tasks_count_from_zero CHECK (((failed_attempts >= 0) AND (losses >= 0))),
    CONSTRAINT tasks_queued_are_whole CHECK (((queue IS NULL) OR ((command IS NOT NULL) AND (asked_at IS NOT NULL) AND (activity <> ''::text)))),
    CONSTRAINT tasks_trials_count_from_zero CHECK (((convictions >= 0) AND (trials >= 0)))
);

COMMENT ON TABLE tasks IS 'What of an activity must outlive its owner: attempts after the first, and everything found pending at a recovery (I10).';

COMMENT ON COLUMN tasks.losses IS 'Times a worker died of it, or of one of those that it was under suspicion with.';

COMMENT ON COLUMN tasks.queue IS 'Whoever serves this queue runs it. Null: it runs on the owner of its instance.';

COMMENT ON COLUMN tasks.command IS 'JSON: what was asked for, as history has it. Only for a queued one.';

COMMENT ON COLUMN tasks.worker_id IS 'Who runs it now, or has it on trial; null while it waits.';

COMMENT ON COLUMN tasks.claims IS 'Times it was taken; with worker_id the fence of its result.';

COMMENT ON COLUMN tasks.detail IS 'JSON: what the last heartbeat said; the next attempt is given it.';

COMMENT ON COLUMN tasks.on_trial IS 'It is being watched: if its worker dies now, it is to blame, and those beside it are not.';

COMMENT ON COLUMN tasks.activity IS 'The name of a queued one: a worker takes only what it has registered.';

COMMENT ON COLUMN tasks.convictions IS 'Times a worker died while it alone was on trial, since it last stood one.';

COMMENT ON COLUMN tasks.trials IS 'Times it was on trial; each lasts longer than the one before.';

CREATE TABLE tombstones (
    namespace text NOT NULL,
    name text NOT NULL,
    uid uuid NOT NULL,
    request text NOT NULL,
    run integer NOT NULL,
    instance_id text NOT NULL,
    status bytea,
    buried_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE tombstones IS 'Resources that their own TTL has removed. The same request under the same name adopts the finished run.';

CREATE TABLE workers (
    worker_id uuid NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    description text NOT NULL,
    orchestrations text[] NOT NULL,
    queues text[] DEFAULT '{}'::text[] NOT NULL,
    trying text[] DEFAULT '{}'::text[] NOT NULL,
    has_cluster boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE workers IS 'One row per live worker process; its heartbeat renews lease_until. A row past its lease is dead.';

COMMENT ON COLUMN workers.orchestrations IS 'What the worker can run, as name@version.';

COMMENT ON COLUMN workers.queues IS 'The queues whose activities it runs.';

COMMENT ON COLUMN workers.trying IS 'Instances whose code it steps at this moment, and of which earlier owners may have died.';

COMMENT ON COLUMN workers.has_cluster IS 'It can act as a ServiceAccount. One that cannot takes no run of a resource (instances.run_as), and no task of one.';

ALTER TABLE ONLY api_budget
    ADD CONSTRAINT api_budget_pkey PRIMARY KEY (is_the_only_row);

ALTER TABLE ONLY history
    ADD CONSTRAINT history_pkey PRIMARY KEY (instance_id, execution, turn);

ALTER TABLE ONLY inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (message_id);

ALTER TABLE ONLY installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (is_the_only_row);

ALTER TABLE ONLY instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (instance_id);

ALTER TABLE ONLY perdure_migrations
    ADD CONSTRAINT perdure_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY resource_runs
    ADD CONSTRAINT resource_runs_pkey PRIMARY KEY (namespace, name);

ALTER TABLE ONLY resources
    ADD CONSTRAINT resources_pkey PRIMARY KEY (uid);

ALTER TABLE ONLY schedule_ticks
    ADD CONSTRAINT schedule_ticks_pkey PRIMARY KEY (schedule_uid, tick_at);

ALTER TABLE ONLY schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (uid);

ALTER TABLE ONLY signal_keys
    ADD CONSTRAINT signal_keys_pkey PRIMARY KEY (instance_id, dedupe_key);

ALTER TABLE ONLY signal_resources
    ADD CONSTRAINT signal_resources_pkey PRIMARY KEY (uid);

ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (instance_id, execution, seq);

ALTER TABLE ONLY tombstones
    ADD CONSTRAINT tombstones_pkey PRIMARY KEY (namespace, name);

ALTER TABLE ONLY workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (worker_id);

CREATE INDEX inbox_by_instance ON inbox USING btree (instance_id, message_id);

CREATE UNIQUE INDEX inbox_once ON inbox USING btree (instance_id, dedupe_key) WHERE (dedupe_key IS NOT NULL);

CREATE INDEX instances_by_end ON instances USING btree (finished_at) WHERE (finished_at IS NOT NULL);

CREATE INDEX instances_by_parent ON instances USING btree (parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX instances_by_resource ON instances USING btree (resource_uid) WHERE (resource_uid IS NOT NULL);

CREATE INDEX instances_claimable ON instances USING btree (name, version, wake_at) WHERE ((owner_id IS NULL) AND (wake_at IS NOT NULL) AND (NOT is_suspended));

CREATE INDEX instances_continued ON instances USING btree (instance_id) WHERE (execution > 1);

CREATE INDEX instances_deadlines ON instances USING btree (deadline_at) WHERE ((deadline_at IS NOT NULL) AND (finished_at IS NULL));

CREATE INDEX instances_open ON instances USING btree (name) WHERE (num_nulls(finished_at) = 1);

CREATE INDEX instances_owned ON instances USING btree (owner_id) WHERE (owner_id IS NOT NULL);

CREATE INDEX instances_to_plan ON instances USING btree (finished_at) WHERE ((finished_at IS NOT NULL) AND (retention_seconds IS NOT NULL) AND (remove_at IS NULL));

CREATE INDEX instances_to_remove ON instances USING btree (remove_at) WHERE (remove_at IS NOT NULL);

CREATE INDEX instances_with_news ON instances USING btree (owner_id) WHERE ((owner_id IS NOT NULL) AND (wake_at IS NOT NULL));

CREATE UNIQUE INDEX resources_by_instance ON resources USING btree (instance_id) WHERE (instance_id IS NOT NULL);

CREATE INDEX resources_expiring ON resources USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (gone_at IS NULL));

CREATE INDEX resources_finalizers ON resources USING btree (uid) WHERE ((has_finalizer OR wants_finalizer) AND (gone_at IS NULL));

CREATE INDEX resources_gone ON resources USING btree (gone_at) WHERE (gone_at IS NOT NULL);

CREATE INDEX resources_living_by_name ON resources USING btree (namespace, name) WHERE (gone_at IS NULL);

CREATE INDEX resources_unsettled ON resources USING btree (uid) WHERE ((NOT settled) AND (gone_at IS NULL));

CREATE INDEX resources_waiting ON resources USING btree (instance_id) WHERE ((waiting <> ''::text) AND (gone_at IS NULL));

CREATE INDEX schedule_ticks_uncreated ON schedule_ticks USING btree (decided_at) WHERE (orchestration_uid IS NULL);

CREATE INDEX schedule_ticks_unfinished ON schedule_ticks USING btree (schedule_uid) WHERE (outcome IS NULL);

CREATE INDEX schedules_due ON schedules USING btree (next_at) WHERE (next_at IS NOT NULL);

CREATE INDEX schedules_gone ON schedules USING btree (gone_at) WHERE (gone_at IS NOT NULL);

CREATE INDEX schedules_unshown ON schedules USING btree (uid) WHERE ((changes <> shown_changes) AND (gone_at IS NULL));

CREATE INDEX signal_resources_expiring ON signal_resources USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (gone_at IS NULL));

CREATE INDEX signal_resources_full ON signal_resources USING btree (namespace, target, created_at, name, uid) WHERE ((phase = 'Pending'::text) AND (gone_at IS NULL) AND (reason = 'SignalsFull'::text));

CREATE INDEX signal_resources_gone ON signal_resources USING btree (gone_at) WHERE (gone_at IS NOT NULL);

CREATE INDEX signal_resources_pending ON signal_resources USING btree (namespace, target) WHERE ((phase = 'Pending'::text) AND (gone_at IS NULL));

CREATE INDEX signal_resources_unshown ON signal_resources USING btree (uid) WHERE ((revision <> shown_revision) AND (gone_at IS NULL));

CREATE INDEX tasks_claimable ON tasks USING btree (queue, priority DESC, visible_at) WHERE ((queue IS NOT NULL) AND (worker_id IS NULL));

CREATE INDEX tasks_running ON tasks USING btree (queue) WHERE ((queue IS NOT NULL) AND (worker_id IS NOT NULL));

CREATE INDEX tasks_taken ON tasks USING btree (worker_id) WHERE (worker_id IS NOT NULL);

ALTER TABLE ONLY schedule_ticks
    ADD CONSTRAINT schedule_ticks_schedule_uid_fkey FOREIGN KEY (schedule_uid) REFERENCES schedules(uid) ON DELETE CASCADE;
