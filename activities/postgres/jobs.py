"""The Jobs that back a server up and bring it back, and the claim in which the backups are: pure functions.

A Job is one container of the server's own image, so that its tools are of the server's version. Its Pod fulfils the
`restricted` Pod Security Standard and writes nowhere but into the claim and a folder in memory. The password reaches it
as a file of the mounted Secret, and Postgres' tools by a password file: no environment and no argument holds it. The
labels are not those of the server: no Service leads to a Job.
"""

from __future__ import annotations

import dataclasses
import functools
from importlib import resources

from activities.postgres import manifests
from perdure import JsonValue, Manifest

__all__ = ["Task", "backup", "claim", "claim_name", "restore"]

_FOLDER = "/backups"
_SECRETS = "/run/secrets/postgres"
_RESULT = "/dev/termination-log"
"""What is written there stands in the status of the Pod: a result for which nobody needs the log of a node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What both Jobs have in common: name, server, image, the claim and the folder in it, the backup."""

    job: str
    server: str
    image: str
    host: str
    claim: str
    source: str
    backup: str


def claim_name(name: str) -> str:
    """Give the name of the claim with a server's backups."""
    return f"{name}-backups"


def claim(name: str, storage: str) -> Manifest:
    """Give the claim with a server's backups."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim_name(name), "labels": _labels(name, "postgres-backups")},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }


def backup(task: Task, *, keep: int) -> Manifest:
    """Give the Job that dumps a server's database, and keeps so many backups."""
    return _job(task, "backup.sh", {"KEEP": str(keep)})


def restore(task: Task) -> Manifest:
    """Give the Job that brings a dump back into a server's database."""
    return _job(task, "restore.sh", {})


@functools.cache
def _script(name: str) -> str:
    scripts = resources.files(__package__) / "scripts"
    return "".join((scripts / part).read_text("utf-8") for part in ("connection.sh", name))


def _job(task: Task, script: str, variables: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": task.job, "labels": _labels(task.server, "postgres-job")},
        "spec": {
            # A Pod whose node goes away is made again; what cannot succeed fails soon.
            "backoffLimit": 2,
            "template": {
                "metadata": {"labels": _labels(task.server, "postgres-job")},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "restartPolicy": "Never",
                    "securityContext": manifests.pod_security(),
                    "containers": [_container(task, script, variables)],
                    "volumes": [
                        {"name": "backups", "persistentVolumeClaim": {"claimName": task.claim}},
                        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                        {
                            "name": "credentials",
                            "secret": {"secretName": manifests.secret_name(task.server), "defaultMode": 0o440},
                        },
                    ],
                },
            },
        },
    }


def _container(task: Task, script: str, variables: dict[str, str]) -> Manifest:
    settings = {
        "PGHOST": task.host,
        "PGPORT": str(manifests.PORT),
        "PGDATABASE": manifests.DATABASE,
        "PGCONNECT_TIMEOUT": "30",
        "SECRETS": _SECRETS,
        "FOLDER": f"{_FOLDER}/{task.source}",
        "BACKUP": task.backup,
        "RESULT": _RESULT,
        **variables,
    }
    return {
        "name": "postgres",
        "image": task.image,
        "command": ["sh", "-c", _script(script)],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "backups", "mountPath": _FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, in memory
            {"name": "credentials", "mountPath": _SECRETS, "readOnly": True},
        ],
    }


def _labels(name: str, what: str) -> dict[str, JsonValue]:
    return {**manifests.labels(name), "app.kubernetes.io/name": what, "app.kubernetes.io/managed-by": "perdure"}
