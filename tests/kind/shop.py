"""The sample project in a namespace of its own: many orders at once, and an exact count of what became of them.

An order packs its items one after the other, each into a ConfigMap whose name says which it is and whose content says
which run made it. So what is done twice by two runs, left out, or done by a second run of the same order, is seen.
"""

from __future__ import annotations

import json

import yaml

from tests.cluster.errors import CommandFailedError
from tests.kind.installation import PATIENCE, Installation, until
from tests.tree import ROOT

__all__ = ["PROJECT", "Shop"]

PROJECT = ROOT / "docs" / "examples" / "sample-project"

DONE = """
select instance_id, phase, sum(regexp_count(convert_from(body, 'UTF8'), '"type":"ActivityCompleted"'))
from instances join history using (instance_id) where instance_id like '{}/%' group by instance_id, phase
"""


class Shop:
    """A namespace in which the sample project has its ServiceAccount and its rights."""

    def __init__(self, installation: Installation, namespace: str) -> None:
        self.namespace = namespace
        self._installation = installation
        self._orders: dict[str, list[str]] = {}
        objects = list(yaml.safe_load_all((PROJECT / "order.yaml").read_text()))
        self.order = next(one for one in objects if one["kind"] == "Orchestration")
        self.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(objects[:-1]))

    def open(self, orders: int, *, items: int, pace: float, name: str = "order") -> None:
        """Apply so many orders of so many items each, `pace` seconds an item; return when all are under way."""
        wanted = {f"{name}-{number}": [f"item-{item}" for item in range(1, items + 1)] for number in range(orders)}
        self._orders |= wanted
        self.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(self._manifests(wanted, pace)))
        until(lambda: {order for order, _ in self._parcels()} == set(self._orders), self._complaint)

    def has_open_orders(self) -> bool:
        """Say whether some order is still to get something."""
        return len(self._parcels()) < sum(len(items) for items in self._orders.values())

    def wait_until_all_is_packed(self) -> None:
        """Return when every order has ended; fail unless each item of each was packed once, by the first run."""
        try:
            self.kubectl("wait", "orchestrations", "--all", "--for=condition=Finished", f"--timeout={PATIENCE}")
        except CommandFailedError as error:
            raise AssertionError(f"{error}\n{self._complaint()}") from error
        assert self._parcels() == {
            (order, f"{order}-{number}"): {"order": f"{self.namespace}/{order}:1", "item": item}
            for order, items in self._orders.items()
            for number, item in enumerate(items, 1)
        }, self._complaint()
        assert sorted(self._installation.query(DONE.format(self.namespace))) == sorted(
            [f"{self.namespace}/{order}:1", "Completed", str(len(items))] for order, items in self._orders.items()
        )
        shown = self.kubectl("get", "orchestrations", "--output=jsonpath={.items[*].status.phase}")
        assert shown.split() == ["Completed"] * len(self._orders)

    def may(self, user: str, verb: str, resource: str) -> str:
        """Ask the API server whether somebody may do something in the namespace: yes or no."""
        return self.kubectl("auth", "can-i", verb, resource, f"--as={user}", check=False).strip()

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        cluster = self._installation.cluster
        return cluster.kubectl(f"--namespace={self.namespace}", *arguments, input=input, check=check)

    def _manifests(self, orders: dict[str, list[str]], pace: float) -> list[object]:
        return [
            {
                **self.order,
                "metadata": {"name": order},
                "spec": {**self.order["spec"], "input": {"number": order, "items": items, "pace": pace}},
            }
            for order, items in orders.items()
        ]

    def _parcels(self) -> dict[tuple[str, str], object]:
        """Give the contents of every parcel, by its order and its name."""
        found = json.loads(self.kubectl("get", "configmaps", "--output=json"))["items"]
        made = {one["metadata"]["name"]: one["data"] for one in found if "order" in one.get("data", {})}
        return {(name.rpartition("-")[0], name): data for name, data in made.items()}

    def _complaint(self) -> str:
        statuses = self.kubectl("get", "orchestrations", "--output=yaml")
        return f"{len(self._parcels())} parcels of {self._orders}\n{statuses[-4000:]}\n{self._installation.said()}"
