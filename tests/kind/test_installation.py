"""An installation in real Pods, from install to uninstall: whatever becomes of its Pods, each effect is there once.

One release for all tests, in a namespace of the restricted Pod Security level: two controllers, two workers with the
image of the sample project, the bundled Postgres. Each test has a namespace of its own for its runs, and leaves the
release ready.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.handle import Cluster
from tests.kind.installation import IMAGE, NAMESPACE, SHOP_IMAGE, SHOP_MODULES, Installation, reference
from tests.kind.node import Node
from tests.kind.shop import PROJECT, Shop
from tests.tree import ROOT

pytestmark = pytest.mark.slow

ORDERS = 12


@pytest.fixture(scope="module")
def namespaces(supplied: Cluster, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Give a namespace for each test; runs may act as ServiceAccounts of these."""
    count = sum(item.path == request.path for item in request.session.items)
    names = [supplied.make_namespace() for _ in range(count)]
    yield list(names)
    for name in names:
        supplied.delete_namespace(name)


@pytest.fixture(scope="module")
def perdure(
    supplied: Cluster, namespaces: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Install the chart."""
    pool = {"replicas": 2, "image": reference(SHOP_IMAGE), "modules": SHOP_MODULES}
    values = {
        "image": reference(IMAGE),
        "mode": "split",
        "controller": {"replicas": 2},
        "workers": {"default": pool},
        "impersonation": {"namespaces": list(namespaces)},
        "postgres": {"storage": {"size": "256Mi"}},
    }
    folder = tmp_path_factory.mktemp("helm")
    with Installation.made(supplied, folder, values=values, psql="perdure-postgres-0 perdure perdure") as made:
        made.install()
        yield made


@pytest.fixture
def shop(perdure: Installation, namespaces: list[str]) -> Shop:
    """Give a shop in a namespace that no test has had yet."""
    return Shop(perdure, namespaces.pop())


def test_an_install_that_has_returned_is_ready(perdure: Installation) -> None:
    """Controllers and workers run, none of them was started twice, and none is root."""
    pods = [*perdure.pods("controller"), *perdure.pods("worker")]
    statuses = [status for pod in pods for status in pod["status"]["containerStatuses"]]

    assert [(status["ready"], status["restartCount"]) for status in statuses] == [(True, 0)] * 4
    for name in ("controller", "worker-default"):
        assert perdure.kubectl("exec", f"deployment/perdure-{name}", "--", "id", "-u").strip() == "10001"


def test_its_own_test_passes(perdure: Installation) -> None:
    """`helm test` runs an orchestration to its end."""
    assert "Succeeded" in perdure.test()


def test_the_order_of_the_sample_project_completes(shop: Shop) -> None:
    """What its page says to apply is applied as it stands: three parcels, which the operator itself may not make."""
    shop.kubectl("apply", f"--filename={PROJECT / 'order.yaml'}")
    shop.kubectl("wait", "orchestration/a-1", "--for=condition=Completed", "--timeout=120s")

    made = json.loads(shop.kubectl("get", "configmaps", "a-1-1", "a-1-2", "a-1-3", "--output=json"))["items"]

    assert [one["data"]["item"] for one in made] == ["lamp", "chair", "table"]
    for account, answer in (f"{shop.namespace}:shop", "yes"), (f"{NAMESPACE}:perdure", "no"):
        assert shop.may(f"system:serviceaccount:{account}", "create", "configmaps") == answer


def test_a_server_is_created_and_connected_to_from_the_pod_of_a_worker(shop: Shop) -> None:
    """The example of the page for authors completes with its last step, which needs the network of the cluster."""
    shop.kubectl("apply", f"--filename={ROOT / 'docs' / 'examples' / 'create-postgres.yaml'}")

    shop.kubectl("wait", "orchestration/orders-db", "--for=condition=Completed", "--timeout=180s")

    assert shop.kubectl("get", "orchestration", "orders-db", "--output=jsonpath={.status.progress.text}") == "5/5"


def test_a_rolling_update_fails_no_run_and_doubles_nothing(perdure: Installation, shop: Shop) -> None:
    """Every Pod of the operator is replaced while orders are under way."""
    shop.open(ORDERS, items=20, pace=2)

    perdure.roll()

    assert shop.has_open_orders()
    shop.wait_until_all_is_packed()


@pytest.mark.parametrize("component", ["controller", "worker"])
def test_pods_that_are_killed_are_replaced_and_lose_nothing(perdure: Installation, shop: Shop, component: str) -> None:
    """All Pods of a component at once go without a warning, twice; orders that come meanwhile are taken as well."""
    shop.open(ORDERS, items=20, pace=2)

    for name in ("late", "later"):
        perdure.kill(component)
        shop.open(1, items=3, pace=2, name=name)
        perdure.wait_until_ready()

    assert shop.has_open_orders()
    shop.wait_until_all_is_packed()


def test_a_database_that_is_killed_fails_no_run(perdure: Installation, shop: Shop) -> None:
    """The Pod of Postgres goes without a warning; no Pod of the operator ends because of that."""
    before = restarts(perdure)
    shop.open(ORDERS, items=20, pace=2)

    perdure.kill("postgres")
    perdure.wait_until_ready()

    assert shop.has_open_orders()
    shop.wait_until_all_is_packed()
    assert restarts(perdure) == before


def test_a_node_that_is_gone_for_a_minute_fails_no_run(perdure: Installation, shop: Shop) -> None:
    """Controllers, workers and database are away until the cluster has given their node up; then it comes back."""
    node = Node(perdure.cluster)
    shop.open(ORDERS, items=5, pace=5)

    node.lose(NAMESPACE)
    node.find()
    perdure.wait_until_ready()

    assert shop.has_open_orders()
    shop.wait_until_all_is_packed()


def test_an_upgrade_of_the_release_fails_no_run(perdure: Installation, shop: Shop) -> None:
    """New values replace the Pods and change how many there are, and so does the way back."""
    shop.open(ORDERS, items=30, pace=2)

    perdure.install({"settings": {"logFormat": "json", "logLevel": "debug"}, "controller": {"replicas": 1}})
    perdure.install()

    assert shop.has_open_orders()
    shop.wait_until_all_is_packed()


def test_an_uninstall_keeps_what_was_asked_for_and_blocks_no_namespace(
    perdure: Installation, shop: Shop, supplied: Cluster
) -> None:
    """Resources and data stay, a namespace with an open run can be deleted, a new install goes on with the others."""
    left_alone = supplied.make_namespace()
    order = yaml.safe_dump({**shop.order, "metadata": {"name": "nobody-packs-it"}})
    supplied.kubectl(f"--namespace={left_alone}", "apply", "--filename=-", input=order)
    shop.open(ORDERS, items=5, pace=2)

    perdure.uninstall()
    supplied.kubectl("delete", "namespace", left_alone, "--timeout=120s")
    kept = shop.kubectl("get", "orchestrations", "--output=name").split()
    perdure.install()

    assert len(kept) == ORDERS
    shop.wait_until_all_is_packed()


def restarts(perdure: Installation) -> dict[str, int]:
    """Count how often the container of each Pod of the operator was started again."""
    pods = [*perdure.pods("controller"), *perdure.pods("worker")]
    return {
        pod["metadata"]["name"]: status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]
    }
