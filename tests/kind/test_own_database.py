"""An installation with a database of the user's own, all in one Deployment: the Jobs of the chart do what they are for.

The database is the Postgres that Perdure offers to create, in the namespace of the release. The image is that of the
sample project, for controller and worker alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from activities.postgres import manifests
from tests.cluster.handle import Cluster
from tests.kind.installation import SHOP_IMAGE, SHOP_MODULES, Installation, reference
from tests.kind.shop import Shop

pytestmark = pytest.mark.slow

PASSWORD = "of-a-server-that-lives-as-long-as-this-module"


@pytest.fixture(scope="module")
def namespace(supplied: Cluster) -> Iterator[str]:
    """Give the namespace of the runs."""
    name = supplied.make_namespace()
    yield name
    supplied.delete_namespace(name)


@pytest.fixture(scope="module")
def perdure(supplied: Cluster, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Install the chart beside a Postgres that is there already."""
    values = {
        "image": reference(SHOP_IMAGE),
        "modules": SHOP_MODULES,
        "database": {
            "host": "db",
            "name": manifests.DATABASE,
            "user": manifests.USER,
            "passwordSecret": {"name": manifests.secret_name("db"), "key": "password"},
        },
        "impersonation": {"namespaces": [namespace]},
    }
    folder = tmp_path_factory.mktemp("helm")
    psql = f"db-0 {manifests.USER} {manifests.DATABASE}"
    with Installation.made(supplied, folder, values=values, psql=psql) as made:
        server = [
            manifests.credentials("db", PASSWORD),
            manifests.service("db"),
            manifests.stateful_set("db", "18", storage="256Mi"),
        ]
        made.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(server))
        made.kubectl("rollout", "status", "statefulset/db", "--timeout=120s")
        made.install()
        yield made


def test_the_schema_was_brought_up_by_a_job(perdure: Installation) -> None:
    """The operator finds it, and does not do it itself."""
    (pod,) = perdure.pods("operator")
    (container,) = pod["spec"]["containers"]

    assert {"name": "PERDURE_MIGRATE", "value": "off"} in container["env"]
    assert container["image"] == SHOP_IMAGE
    assert perdure.query("select count(*) > 0 from perdure_migrations") == [["t"]]


def test_its_own_test_passes(perdure: Installation) -> None:
    """`helm test` runs an orchestration to its end."""
    assert "Succeeded" in perdure.test()


def test_an_upgrade_that_would_strand_open_runs_changes_nothing(perdure: Installation, namespace: str) -> None:
    """Code that lacks the orchestration of open orders is refused before a Pod has changed; the orders go on."""
    shop = Shop(perdure, namespace)
    shop.open(3, items=15, pace=2)
    before = [pod["metadata"]["uid"] for pod in perdure.pods("operator")]
    check = {"replayCheck": {"enabled": True, "strict": True}, "hooks": {"backoffLimit": 0}}

    with pytest.raises(AssertionError, match="replay-check"):
        perdure.install({**check, "modules": ["workflows", "activities"]})

    assert [pod["metadata"]["uid"] for pod in perdure.pods("operator")] == before
    perdure.install({**check, "settings": {"logLevel": "debug"}})
    assert [pod["metadata"]["uid"] for pod in perdure.pods("operator")] != before
    shop.wait_until_all_is_packed()
