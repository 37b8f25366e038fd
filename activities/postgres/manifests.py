"""The objects of a Postgres server, as pure functions: a name in, a manifest out.

A server is a Secret, a Service and a StatefulSet of one Pod with a volume. The Pod fulfils the `restricted` Pod
Security Standard. The password reaches the server as a file, so that neither the manifests nor the environment of any
process hold it.
"""

from __future__ import annotations

import base64

from perdure import JsonValue, Manifest

__all__ = ["credentials", "host", "labels", "secret_name", "selector", "service", "stateful_set"]

PORT = 5432
DATABASE = "app"
USER = "postgres"
"""The superuser of the image, under the name that everybody expects of one."""

_UID = 999
"""The user `postgres` of the Debian based image."""

_MOUNT = "/var/lib/postgresql/data"
_DATA = f"{_MOUNT}/pgdata"
"""Below the mount: initdb refuses a folder that is not empty, and many volumes come with a `lost+found`."""

_SECRETS = "/run/secrets/postgres"


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


def service(name: str) -> Manifest:
    """Give the Service: one address that stays while Pods come and go."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, name),
        "spec": {
            "selector": labels(name),
            "ports": [{"name": "postgres", "port": PORT, "targetPort": "postgres", "protocol": "TCP"}],
        },
    }


def stateful_set(name: str, version: str, *, storage: str) -> Manifest:
    """Give the StatefulSet of one server of this version, with a volume of this size."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(name, name),
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": labels(name)},
            "template": {"metadata": {"labels": labels(name)}, "spec": _pod(name, version)},
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data", "labels": labels(name)},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
                }
            ],
        },
    }


def _pod(name: str, version: str) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(version)],
        "volumes": [{"name": "credentials", "secret": {"secretName": secret_name(name), "defaultMode": 0o440}}],
    }


def _container(version: str) -> Manifest:
    return {
        "name": "postgres",
        "image": f"postgres:{version}",
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
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "data", "mountPath": _MOUNT},
            {"name": "credentials", "mountPath": _SECRETS, "readOnly": True},
        ],
    }


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
