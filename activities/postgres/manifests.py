"""The objects of a Postgres server, as pure functions: a name in, a manifest out.

A server is a Secret, a Service and a StatefulSet of one Pod with a volume. The Pod fulfils the `restricted` Pod
Security Standard. The password reaches the server as a file, so that neither the manifests nor the environment of any
process hold it.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping

from activities.kubernetes import fields
from perdure import JsonValue, Manifest

__all__ = [
    "PLAIN",
    "Shape",
    "claim_name",
    "credentials",
    "host",
    "image_of",
    "labels",
    "parameters_of",
    "pod_name",
    "pod_security",
    "resources_of",
    "secret_name",
    "selector",
    "service",
    "stateful_set",
    "version_of",
    "volume_of",
]

PORT = 5432
DATABASE = "app"
USER = "postgres"
"""The superuser of the image, under the name that everybody expects of one."""

VERSION = "perdure.dev/postgres-version"
"""The annotation of a StatefulSet that says which version it is of, whatever its image is called."""

_UID = 999
"""The user `postgres` of the Debian based image."""

_MOUNT = "/var/lib/postgresql/data"
_DATA = f"{_MOUNT}/pgdata"
"""Below the mount: initdb refuses a folder that is not empty, and many volumes come with a `lost+found`."""

_SECRETS = "/run/secrets/postgres"


_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What may differ from server to server, beside name, version and size."""

    volume: str = "data"
    image: str = ""
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    resources: Manifest = dataclasses.field(default_factory=dict)


PLAIN = Shape()


def secret_name(name: str) -> str:
    """Give the name of the Secret with the credentials."""
    return f"{name}-credentials"


def host(name: str, namespace: str) -> str:
    """Give the DNS name by which Pods of the cluster find the server."""
    return f"{name}.{namespace}.svc"


def labels(name: str) -> Manifest:
    """Give the labels by which the server's Pod is selected; immutable, so no version and no owner among them."""
    return {"app.kubernetes.io/name": "postgres", "app.kubernetes.io/instance": name}


def selector(name: str) -> str:
    """Give the selector of the server's Pod and volumes."""
    return ",".join(f"{key}={value}" for key, value in labels(name).items())


def credentials(name: str, password: str) -> Manifest:
    """Give the Secret with `username` and `password`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(secret_name(name), name),
        "type": "kubernetes.io/basic-auth",
        "data": {"username": _base64(USER), "password": _base64(password)},
    }


def service(name: str, host_name: str = "") -> Manifest:
    """Give the Service, by this name or the server's: one address that stays while Pods come and go."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(host_name or name, name),
        "spec": {
            "selector": labels(name),
            "ports": [{"name": "postgres", "port": PORT, "targetPort": "postgres", "protocol": "TCP"}],
        },
    }


def stateful_set(name: str, version: str, *, storage: str, shape: Shape = PLAIN) -> Manifest:
    """Give the StatefulSet of one server of this version, with a volume of this size."""
    metadata = fields.merged(_metadata(name, name), {"annotations": {VERSION: version}})
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": labels(name)},
            "template": {"metadata": {"labels": labels(name)}, "spec": _pod(name, version, shape)},
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": shape.volume, "labels": labels(name)},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
                }
            ],
        },
    }


def version_of(existing: Manifest) -> str:
    """Give the version that a StatefulSet of a server is of; empty when nothing says so."""
    said = fields.text(existing, "metadata", "annotations", VERSION)
    return said or image_of(existing).rpartition(":")[2]


def image_of(existing: Manifest) -> str:
    """Give the image that a StatefulSet of a server runs."""
    return fields.text(_container_of(existing), "image")


def parameters_of(existing: Manifest) -> dict[str, str]:
    """Give the settings that a StatefulSet passes to its server."""
    given = _container_of(existing).get("args")
    pairs = [str(each).partition("=") for each in given if each != "-c"] if isinstance(given, list) else []
    return {key: value for key, _, value in pairs}


def resources_of(existing: Manifest) -> Manifest:
    """Give the requests and limits of a StatefulSet's server."""
    return fields.mapping(_container_of(existing), "resources")


def volume_of(existing: Manifest) -> tuple[str, str]:
    """Give name and size of the volume that a StatefulSet claims."""
    claim = next(fields.items(existing, "spec", "volumeClaimTemplates"), {})
    return fields.text(claim, "metadata", "name"), fields.text(claim, "spec", "resources", "requests", "storage")


def pod_name(name: str) -> str:
    """Give the name of the server's Pod."""
    return f"{name}-0"


def claim_name(name: str, volume: str) -> str:
    """Give the name of the claim that the StatefulSet makes for its Pod."""
    return f"{volume}-{pod_name(name)}"


def pod_security() -> Manifest:
    """Give the security context of a Pod that the `restricted` Pod Security Standard takes, as the image's user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _UID,
        "runAsGroup": _UID,
        "fsGroup": _UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container_of(existing: Manifest) -> Manifest:
    return next(fields.items(existing, "spec", "template", "spec", "containers"), {})


def _pod(name: str, version: str, shape: Shape) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "securityContext": pod_security(),
        "containers": [_container(version, shape)],
        "volumes": [{"name": "credentials", "secret": {"secretName": secret_name(name), "defaultMode": 0o440}}],
    }


def _container(version: str, shape: Shape) -> Manifest:
    settings: list[JsonValue] = []
    for key, value in sorted(shape.parameters.items()):
        settings += ["-c", f"{key}={value}"]
    container: Manifest = {
        "name": "postgres",
        "image": shape.image or f"postgres:{version}",
        "env": [
            {"name": "POSTGRES_USER", "value": USER},
            {"name": "POSTGRES_PASSWORD_FILE", "value": f"{_SECRETS}/password"},
            {"name": "POSTGRES_DB", "value": DATABASE},
            {"name": "POSTGRES_INITDB_ARGS", "value": "--data-checksums"},
            {"name": "PGDATA", "value": _DATA},
        ],
        "ports": [{"name": "postgres", "containerPort": PORT, "protocol": "TCP"}],
        # Half an hour to start: the recovery after a crash takes as long as it takes.
        "startupProbe": _probe(_IS_READY, period_seconds=2, failure_threshold=900),
        "readinessProbe": _probe(_IS_READY, period_seconds=5, failure_threshold=3),
        "livenessProbe": _probe(_IS_ALIVE, period_seconds=10, failure_threshold=6),
        "resources": shape.resources or _RESOURCES,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": shape.volume, "mountPath": _MOUNT},
            {"name": "credentials", "mountPath": _SECRETS, "readOnly": True},
        ],
    }
    return {**container, "args": settings} if settings else container


# Over TCP, not the socket: while the image sets a new database up, its server answers on the socket only.
_IS_READY = f"pg_isready --quiet --host=127.0.0.1 --username={USER} --dbname={DATABASE}"

# 2 is "no answer"; a server that answers "not now" (1) recovers, and would only be thrown back by a restart.
_IS_ALIVE = f"{_IS_READY}; test $? -ne 2"


def _probe(command: str, *, period_seconds: int, failure_threshold: int) -> Manifest:
    return {
        "exec": {"command": ["sh", "-c", command]},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failure_threshold,
    }


def _metadata(object_name: str, name: str) -> Manifest:
    both: dict[str, JsonValue] = {**labels(name), "app.kubernetes.io/managed-by": "perdure"}
    return {"name": object_name, "labels": both}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
