"""What comes out of the chart for which values: pods, addresses, rights, and the words that refuse values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.settings import Settings
from tests.chart.rendering import EVERYTHING as ALL
from tests.chart.rendering import MATRIX, NAMESPACE, RELEASE, Manifest, Renderer, Values, found, pods
from tests.tree import none_of

pytestmark = pytest.mark.slow

DATABASE: Values = {"host": "db", "passwordSecret": {"name": "db"}}


def container(manifests: list[Manifest], kind: str = "Deployment", name: str = RELEASE) -> Manifest:
    """Give the container of a workload."""
    [one] = found(manifests, kind, name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


def variables(container: Manifest) -> dict[str, Any]:
    """Give the variables of a container: a value, or where it is from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def names(manifests: list[Manifest], kind: str) -> list[str]:
    """Name the objects of a kind."""
    return sorted(one["metadata"]["name"] for one in manifests if one["kind"] == kind)


@pytest.fixture(params=MATRIX)
def rendered(request: pytest.FixtureRequest, chart: Renderer) -> list[Manifest]:
    """Give the objects for each of the values that must do."""
    return chart.render(MATRIX[request.param])


# --- what holds for all values ---------------------------------------------------------------------------------------


def test_no_object_is_there_twice(rendered: list[Manifest]) -> None:
    """Kind, namespace and name are an object's own."""
    keys = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered]

    assert len(keys) == len(set(keys))


def test_every_object_can_be_found_by_its_labels(rendered: list[Manifest]) -> None:
    """Whatever was installed shows with one selector, but for what the user added."""
    none_of(
        f"{one['kind']}/{one['metadata']['name']}"
        for one in rendered
        if one["metadata"]["name"] not in {"extra", "text"}
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/instance") != RELEASE
    )


def test_selectors_select_the_pods_they_are_for_and_no_others(rendered: list[Manifest]) -> None:
    """Each workload and each budget selects the pods of one template."""
    all_pods = {pod["metadata"]["name"]: pod["metadata"]["labels"].items() for pod in pods(rendered)}

    for one in rendered:
        if one["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            wanted = one["spec"]["selector"]["matchLabels"].items()
            assert [name for name, labels in all_pods.items() if wanted <= labels] == [one["metadata"]["name"]]


def test_every_variable_is_one_of_the_program(rendered: list[Manifest]) -> None:
    """The program refuses to start with one that it does not know; a Job that needs few gets no more."""
    known = {f"PERDURE_{field.upper()}" for field in Settings.model_fields}

    for pod in pods(rendered):
        for one in pod["spec"]["containers"]:
            given = {name for name in variables({"env": one.get("env", [])}) if name.startswith("PERDURE_")}
            assert given <= known, pod["metadata"]["name"]


def test_every_pod_keeps_to_the_least(rendered: list[Manifest]) -> None:
    """No root, nothing to write to but volumes, no token that is not used, no variables of Services."""
    for pod in pods(rendered):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is (not pod["metadata"]["name"].endswith(TOKENLESS))
        for one in spec["containers"]:
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
            assert one["resources"]["requests"]


TOKENLESS = ("-postgres", "-migration", "-replay-check-default", "-replay-check-gpu", "-replay-check-operator")
"""Ends of the names of pods that never talk to the API server."""


# --- modes -----------------------------------------------------------------------------------------------------------


def test_one_command_brings_everything(chart: Renderer) -> None:
    """Without any value: one Deployment with both roles, and a Postgres with its volume and password."""
    manifests = chart.render()

    assert variables(container(manifests))["PERDURE_ROLES"] == "controller,worker"
    assert names(manifests, "Deployment") == ["perdure"]
    assert names(manifests, "StatefulSet") == ["perdure-postgres"]
    assert names(manifests, "PodDisruptionBudget") == []
    assert "PERDURE_MIGRATE" not in variables(container(manifests))


def test_split_in_pools_each_has_what_is_its_own(chart: Renderer) -> None:
    """Controllers and pools of workers are Deployments; what a pool does not say is as for all pods."""
    manifests = chart.render(ALL)

    gpu = container(manifests, name="perdure-worker-gpu")
    assert names(manifests, "Deployment") == ["perdure-controller", "perdure-worker-default", "perdure-worker-gpu"]
    assert gpu["image"] == "training:7"
    assert gpu["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "8Gi"}}
    assert variables(gpu)["PERDURE_QUEUES"] == "gpu,team-a/slow"
    assert variables(gpu)["PERDURE_MODULES"] == "training"
    assert variables(gpu)["PERDURE_ROLES"] == "worker"
    assert found(manifests, "Deployment", "perdure-worker-gpu")["spec"]["replicas"] == 1
    controller = container(manifests, name="perdure-controller")
    assert controller["image"] == f"perdure@sha256:{'a' * 64}"
    assert variables(controller)["PERDURE_ROLES"] == "controller"


def test_an_autoscaler_has_the_number_of_replicas_to_itself(chart: Renderer) -> None:
    """Whoever upgrades does not set back what it has scaled."""
    metric = {"type": "External", "external": {"metric": {"name": "depth"}, "target": {"type": "Value", "value": "9"}}}
    scaling = {"enabled": True, "targetCPUUtilizationPercentage": 0, "metrics": [metric], "maxReplicas": 30}
    manifests = chart.render({"mode": "split", "workers": {"default": {"autoscaling": scaling}}})

    scaler = found(manifests, "HorizontalPodAutoscaler", "perdure-worker-default")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"], scaler["metrics"]) == (2, 30, [metric])
    assert "replicas" not in found(manifests, "Deployment", "perdure-worker-default")["spec"]


def test_a_pool_of_the_defaults_can_be_left_out(chart: Renderer) -> None:
    """`default: null` leaves only the pools that somebody named."""
    manifests = chart.render({"mode": "split", "workers": {"default": None, "slow": {"replicas": 4}}})

    assert names(manifests, "Deployment") == ["perdure-controller", "perdure-worker-slow"]


def test_settings_become_variables(chart: Renderer) -> None:
    """In the words of the program; large numbers without an exponent."""
    given = variables(container(chart.render(ALL), name="perdure-controller"))

    assert given["PERDURE_MAX_INSTANCES"] == "2000000"
    assert given["PERDURE_CANCEL_GRACE_SECONDS"] == "2.5"
    assert given["PERDURE_RETENTION_SECONDS"] == "86400"
    assert given["PERDURE_LOG_FORMAT"] == "json"
    assert given["PERDURE_NAMESPACES"] == "team-a,team-b"
    assert given["PERDURE_ENCRYPTION_KEYS_FILE"] == "/etc/perdure/encryption/keys"


def test_the_inventory_may_have_a_database_of_its_own(chart: Renderer) -> None:
    """Its address is a reference to a Secret; without one the operator's own database is taken."""
    given = variables(container(chart.render(ALL), name="perdure-controller"))
    plain = variables(container(chart.render({"mode": "split"}), name="perdure-controller"))

    assert given["PERDURE_INVENTORY_URL"] == {"secretKeyRef": {"name": "inventory", "key": "uri"}}
    assert "PERDURE_INVENTORY_URL" not in plain


# --- the database ----------------------------------------------------------------------------------------------------

SECRET = {"secretKeyRef": {"name": "db-app", "key": "uri"}}
FILE = "/etc/perdure/database-password/password"


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ({"existingSecret": {"name": "db-app"}}, {"URL": SECRET}),
        (
            {"existingSecret": {"name": "db-app"}, "tls": {"mode": "require"}},
            {"URL": "$(DATABASE_ADDRESS)?sslmode=require"},
        ),
        (DATABASE, {"URL": "postgresql://perdure@db:5432/perdure", "PASSWORD_FILE": FILE}),
        (
            {"host": "db", "port": 6432, "name": "a b", "user": "o'r@x", "passwordCommand": "token --for 'a b'"},
            {"URL": "postgresql://o%27r%40x@db:6432/a%20b", "PASSWORD_COMMAND": "token --for 'a b'"},
        ),
        (
            {**DATABASE, "tls": {"mode": "verify-full", "caSecret": {"name": "ca"}}},
            {
                "URL": "postgresql://perdure@db:5432/perdure"
                "?sslmode=verify-full&sslrootcert=/etc/perdure/database-ca/ca.crt",
                "PASSWORD_FILE": FILE,
            },
        ),
        (
            {},
            {"URL": f"postgresql://perdure@perdure-postgres.{NAMESPACE}.svc:5432/perdure", "PASSWORD_FILE": FILE},
        ),
    ],
    ids=["secret", "secret and TLS", "parts", "tokens", "authority", "bundled"],
)
def test_the_address_of_the_database(chart: Renderer, database: Values, expected: Values) -> None:
    """A password never stands in the pod: it is in a Secret, in a file, or a command prints it."""
    given = variables(container(chart.render({"database": database})))

    assert {name: value for name, value in given.items() if name.startswith("PERDURE_DATABASE_")} == {
        f"PERDURE_DATABASE_{name}": value for name, value in expected.items()
    }


def test_a_database_of_the_user_is_migrated_before_the_pods(chart: Renderer) -> None:
    """By a Job, with an address of its own if there is one; the pods then leave the schema alone."""
    owner = {"secretKeyRef": {"name": "db-owner", "key": "uri"}}
    manifests = chart.render({"database": DATABASE, "migration": {"existingSecret": {"name": "db-owner"}}})

    migration = container(manifests, "Job", "perdure-migration")
    assert migration["command"] == ["perdure", "migrate"]
    assert variables(migration)["PERDURE_DATABASE_URL"] == owner
    assert "PERDURE_DATABASE_PASSWORD_FILE" not in variables(migration)
    assert variables(container(manifests))["PERDURE_MIGRATE"] == "off"
    assert names(manifests, "StatefulSet") == []


@pytest.mark.parametrize(
    "values",
    [
        {"database": {"host": "db", "passwordCommand": "token"}},
        {"database": DATABASE, "migration": {"enabled": False}},
        {},
    ],
    ids=["tokens", "not wanted", "bundled"],
)
def test_else_the_operator_migrates(chart: Renderer, values: Values) -> None:
    """Where a Job could not, need not or shall not."""
    manifests = chart.render(values)

    assert "perdure-migration" not in names(manifests, "Job")
    assert "PERDURE_MIGRATE" not in variables(container(manifests))


def test_the_code_is_checked_before_anything_has_changed(chart: Renderer) -> None:
    """Each pool's image replays the open runs, before the migration, without which the old release still starts."""
    manifests = chart.render(ALL)

    checks = [found(manifests, "Job", f"perdure-replay-check-{pool}") for pool in ("default", "gpu")]
    migration = found(manifests, "Job", "perdure-migration")
    weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (*checks, migration)]
    assert weights[0] == weights[1] < weights[2]
    assert container(manifests, "Job", "perdure-replay-check-gpu")["image"] == "training:7"
    assert container(manifests, "Job", "perdure-replay-check-gpu")["command"][-1] == "--strict"
    assert {one["metadata"]["annotations"]["helm.sh/hook"] for one in checks} == {"pre-upgrade"}


# --- rights ----------------------------------------------------------------------------------------------------------


def test_nobody_is_impersonated_unless_a_namespace_is_named(chart: Renderer) -> None:
    """Without values no rule of the release has the verb."""
    assert "impersonate" not in json.dumps([one.get("rules") for one in chart.render()])


def test_runs_act_in_the_namespaces_that_were_named(chart: Renderer) -> None:
    """A Role in each, of the names given; nothing for the whole cluster."""
    manifests = chart.render(ALL)
    granting = [one for one in manifests if "impersonate" in json.dumps(one.get("rules"))]

    assert [(one["kind"], one["metadata"]["namespace"]) for one in granting] == [("Role", "team-a"), ("Role", "team-b")]
    assert granting[0]["rules"] == [
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"], "resourceNames": ["runner"]}
    ]


def test_in_some_namespaces_only_the_identity_of_the_cluster_is_read_outside(chart: Renderer) -> None:
    """With `watchNamespaces` the one right beyond them is to read the namespace kube-system."""
    manifests = [one for one in chart.render(ALL) if one["kind"] == "ClusterRole"]
    bound = [one for one in manifests if "aggregate-to" not in json.dumps(one["metadata"]["labels"])]

    assert [one["metadata"]["name"] for one in bound] == ["perdure-system:perdure-identity"]
    assert bound[0]["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]


def test_finalizers_are_released_where_there_was_an_operator(chart: Renderer) -> None:
    """By one Job for all namespaces, or one for each, with rights there and nowhere else, once the operator is gone."""
    everywhere = found(chart.render(), "Job", "perdure-finalizers-0")
    each = [container(chart.render(ALL), "Job", f"perdure-finalizers-{index}")["command"] for index in (0, 1)]

    assert container(chart.render(), "Job", "perdure-finalizers-0")["command"] == ["perdure", "finalizers", "release"]
    assert everywhere["metadata"]["annotations"]["helm.sh/hook"] == "post-delete"
    assert [command[3:] for command in each] == [["--namespace", "team-a"], ["--namespace", "team-b"]]
    assert names(chart.render(ALL), "Role").count("perdure-release-finalizers") == 2


def test_no_name_is_too_long(chart: Renderer) -> None:
    """Pods carry the names of their owners as labels, which have at most 63 characters."""
    values = {**ALL, "fullnameOverride": "x" * 60, "workers": {"a" * 13: {}}, "watchNamespaces": ["n" * 63] * 1}

    for one in chart.render(values):
        if one["kind"] in {"Deployment", "StatefulSet", "Job", "Service"}:
            assert len(one["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in one["metadata"].get("labels", {}).values())


# --- what is refused -------------------------------------------------------------------------------------------------

UNKNOWN = "additional properties"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"modus": "split"}, UNKNOWN),
        ({"mode": "double"}, "value must be one of 'single', 'split'"),
        ({"image": {"name": "x"}}, UNKNOWN),
        ({"image": {"digest": "latest"}}, "does not match pattern"),
        ({"settings": {"httpPort": 1}}, UNKNOWN),
        ({"settings": {"logLevel": "loud"}}, "value must be one of 'debug'"),
        ({"settings": {"leaseSeconds": 0.1}}, "minimum"),
        ({"workers": {"gpu": {"queue": ["gpu"]}}}, UNKNOWN),
        ({"workers": {"GPU": {}}}, "does not match pattern"),
        ({"pods": {"replicas": 3}}, UNKNOWN),
        ({"watchNamespaces": ["Team A"]}, "does not match pattern"),
        ({"commonLabels": {"team": 1}}, "want string"),
        ({"impersonation": {"constrained": {"rules": [{"apiGroups": [""], "verbs": ["get"]}]}}}, "resources"),
        ({"postgres": {"bundled": False}}, "Which database? Set database.existingSecret.name or database.host"),
        ({"database": {"host": "db", "existingSecret": {"name": "x"}}}, "not both"),
        ({"database": {**DATABASE, "passwordCommand": "token"}}, "which one counts"),
        ({"database": {"passwordCommand": "token"}}, "go with database.host"),
        ({"database": {**DATABASE, "tls": {"caSecret": {"name": "ca"}}}}, "verify-ca or verify-full"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
        ({"impersonation": {"allNamespaces": True, "namespaces": ["a"]}}, "not both"),
        ({"impersonation": {"serviceAccountNames": ["runner"]}}, "which is empty"),
        ({"impersonation": {"namespaces": ["a"], "constrained": {"enabled": True}}}, "lets runs do nothing"),
        (
            {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
            "scrape the same pods",
        ),
        (
            {"service": {"enabled": False}, "monitoring": {"serviceMonitor": {"enabled": True}}},
            "needs service.enabled",
        ),
    ],
    ids=json.dumps,
)
def test_values_that_are_wrong_are_refused(chart: Renderer, values: Values, said: str) -> None:
    """A value that nobody reads, and a combination that nobody could understand, are errors with a way out."""
    assert said in chart.refusal(values)


def test_the_name_of_a_release_is_not_said_twice(chart: Renderer) -> None:
    """`perdure` and `my-perdure` stand for themselves, other names get the chart's; two namespaces never meet."""
    assert names(chart.render(name="my-perdure"), "Deployment") == ["my-perdure"]
    assert names(chart.render(name="prod"), "Deployment") == ["prod-perdure"]
    assert names(chart.render({"fullnameOverride": "x" * 80}), "Deployment") == ["x" * 36]
    one, other = (set(names(chart.render(namespace=name), "ClusterRole")) for name in ("a", "b"))
    assert not one & other
