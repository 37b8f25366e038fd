"""One release of the chart, as an administrator installs it, in a namespace of the restricted Pod Security level.

It knows helm, Deployments and Pods, and asks the release's Postgres when something is to be counted; it must not know
what the orchestrations do.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.tree import ROOT

__all__ = [
    "IMAGE",
    "NAMESPACE",
    "PATIENCE",
    "POSTGRES",
    "SHOP_IMAGE",
    "SHOP_MODULES",
    "Installation",
    "reference",
    "until",
]

IMAGE = "perdure:dev"
SHOP_IMAGE = "shop:dev"
SHOP_MODULES = ["workflows", "activities", "shop"]
POSTGRES = "postgres:18"
NAMESPACE = "perdure-system"

RELEASE = "perdure"
LEVEL = "pod-security.kubernetes.io/enforce=restricted"
PATIENCE = "300s"
PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.25


class Installation:
    """The release with these values; `psql` says in which Pod its database is, and as whom to ask there."""

    def __init__(self, cluster: Cluster, folder: Path, *, values: Mapping[str, object], psql: str) -> None:
        self.cluster = cluster
        self._folder = folder
        self._values = values
        self._psql = psql

    @classmethod
    @contextlib.contextmanager
    def made(cls, cluster: Cluster, folder: Path, *, values: Mapping[str, object], psql: str) -> Iterator[Installation]:
        """Give a release that can be installed in its namespace, both of which are gone in the end."""
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("label", "namespace", NAMESPACE, LEVEL)
        cluster.wait_for_service_account(NAMESPACE)
        made = cls(cluster, folder, values=values, psql=psql)
        try:
            yield made
        finally:
            made.uninstall()
            cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")

    def install(self, changes: Mapping[str, object] | None = None) -> None:
        """Install the chart, or upgrade it to these values, and return when helm says that all is ready."""
        file = self._folder / "values.yaml"
        file.write_text(yaml.safe_dump({**self._values, **(changes or {})}))
        chart = ROOT / "charts" / "perdure"
        self._helm("upgrade", "--install", RELEASE, chart, f"--values={file}", "--wait", f"--timeout={PATIENCE}")

    def test(self) -> str:
        """Run `helm test` and give what it says."""
        return self._helm("test", RELEASE, f"--timeout={PATIENCE}")

    def uninstall(self) -> None:
        """Uninstall the release and return when its objects are gone."""
        self._helm("uninstall", RELEASE, "--ignore-not-found", "--wait", f"--timeout={PATIENCE}")

    def roll(self) -> None:
        """Replace every Pod of the operator by a new one, a few at a time, and return when that is done."""
        self.kubectl("rollout", "restart", "deployment")
        self.wait_until_ready()

    def kill(self, component: str) -> None:
        """Take away the Pods of a component without a warning; others come for them."""
        self.kubectl("delete", "pod", f"--selector={_selector(component)}", "--force", "--grace-period=0")

    def wait_until_ready(self) -> None:
        """Return when every Deployment and the database have all their Pods, and these are ready."""
        for kind in ("statefulset", "deployment"):
            for name in self.kubectl("get", kind, "--output=name").split():
                self.kubectl("rollout", "status", name, f"--timeout={PATIENCE}")
        self.kubectl("wait", "pod", "--for=condition=Ready", f"--selector={_selector('postgres')}", "--timeout=120s")

    def query(self, sql: str) -> list[list[str]]:
        """Ask the release's database; give the rows, their values as text."""
        pod, user, database = self._psql.split()
        psql = ("psql", f"--username={user}", f"--dbname={database}", "--tuples-only", "--no-align", "--command", sql)
        return [row.split("|") for row in self.kubectl("exec", pod, "--", *psql).split()]

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Give the Pods of a component as JSON."""
        found = self.kubectl("get", "pods", f"--selector={_selector(component)}", "--output=json")
        return list(json.loads(found)["items"])

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace of the release."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *arguments, input=input, check=check)

    def said(self) -> str:
        """Give the end of what the Pods have said, and how they are."""
        logs = ("logs", f"--selector=app.kubernetes.io/instance={RELEASE}", "--tail=20", "--prefix")
        return self.kubectl("get", "pods", check=False) + self.kubectl(*logs, check=False)

    def _helm(self, *arguments: str | Path) -> str:
        try:
            return self.cluster.helm(f"--namespace={NAMESPACE}", *arguments)
        except CommandFailedError as error:
            raise AssertionError(f"{error}\n{self.said()}") from error


def until(is_reached: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Look again and again until it is so; fail with the complaint when that takes far too long."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_reached():
        assert time.monotonic() < end, complaint()
        time.sleep(_LOOK_SECONDS)


def reference(image: str) -> dict[str, str]:
    """Give an image as the values of the chart name it."""
    repository, _, tag = image.partition(":")
    return {"repository": repository, "tag": tag}


def _selector(component: str) -> str:
    return f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
