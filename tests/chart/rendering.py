"""The chart as Helm renders it, for tests that look at what comes out."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.chart.generated import CHART
from tests.cluster import commands

__all__ = ["EVERYTHING", "MATRIX", "NAMESPACE", "RELEASE", "Manifest", "Renderer", "Values", "found", "pods"]

Manifest = dict[str, Any]
Values = Mapping[str, Any]

RELEASE = "perdure"
NAMESPACE = "perdure-system"

_PROXY = {"name": "proxy", "key": "url"}
_MONITORING = {
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
EVERYTHING: Values = {
    "commonLabels": {"team": "platform"},
    "image": {"digest": f"sha256:{'a' * 64}", "pullSecrets": [{"name": "registry"}]},
    "mode": "split",
    "watchNamespaces": ["team-a", "team-b"],
    "settings": {"retentionSeconds": 86400, "maxInstances": 2_000_000, "cancelGraceSeconds": 2.5},
    "encryption": {"existingSecret": {"name": "keys"}},
    "inventory": {"existingSecret": {"name": "inventory"}},
    "database": {
        "host": "db.example.internal",
        "passwordSecret": {"name": "db"},
        "tls": {"mode": "verify-full", "caSecret": {"name": "db-ca"}},
        "parameters": {"target_session_attrs": "read-write"},
    },
    "pods": {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "labels": {"cost": "shared"},
        "annotations": {"example.com/why": "all"},
        "extraEnv": [{"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": _PROXY}}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podDisruptionBudget": {"minAvailable": "50%"},
    },
    "controller": {"replicas": 3},
    "workers": {
        "default": {"autoscaling": {"enabled": True, "minReplicas": 3}},
        "gpu": {
            "queues": ["gpu", "team-a/slow"],
            "modules": ["training"],
            "image": {"repository": "training", "tag": "7", "digest": ""},
            "resources": {"limits": {"memory": "8Gi"}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ],
        },
    },
    "impersonation": {"namespaces": ["team-a", "team-b"], "serviceAccountNames": ["runner"]},
    "networkPolicy": {
        "enabled": True,
        "httpFrom": [{"podSelector": {}}],
        "egress": [{"ports": [{"port": 5432, "protocol": "TCP"}]}],
    },
    "monitoring": _MONITORING,
    "migration": {"existingSecret": {"name": "db-owner"}},
    "replayCheck": {"enabled": True, "strict": True},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"of": "{{ .Release.Name }}"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\n",
    ],
}
"""About every value that changes what is rendered, at once."""

MATRIX: Mapping[str, Values] = {
    "defaults": {},
    "split": {"mode": "split"},
    "everything": EVERYTHING,
    "bundled, with a network policy": {"networkPolicy": {"enabled": True}, "postgres": {"parameters": {"jit": "off"}}},
    "address in a Secret": {"database": {"existingSecret": {"name": "db-app"}, "tls": {"mode": "require"}}},
    "tokens": {"database": {"host": "db", "passwordCommand": "python -m iam"}, "single": {"replicas": 2}},
    "all namespaces": {"impersonation": {"allNamespaces": True}},
    "constrained": {
        "impersonation": {
            "namespaces": ["team-a"],
            "constrained": {
                "enabled": True,
                "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create"]}],
            },
        }
    },
    "as little as can be": {
        "crds": {"install": False},
        "rbac": {"create": False, "aggregateToUserRoles": False},
        "service": {"enabled": False},
        "serviceAccount": {"create": False, "name": "ours"},
        "test": {"enabled": False},
        "uninstall": {"releaseFinalizers": False},
    },
}
"""Values that the chart must give valid objects for."""


@dataclass(frozen=True)
class Renderer:
    """Renders the chart; no cluster is asked for anything."""

    program: Path

    def render(self, values: Values = {}, *, name: str = RELEASE, namespace: str = NAMESPACE) -> list[Manifest]:  # noqa: B006 - nobody writes into it
        """Give every object of the release, hooks too, in the namespace that it would be in."""
        return _rendered(self.program, json.dumps(values), name, namespace)


@functools.cache
def _rendered(program: Path, values: str, name: str, namespace: str) -> list[Manifest]:
    rendered = commands.run(program, "template", name, CHART, f"--namespace={namespace}", "--values=-", input=values)
    return [one for one in yaml.load_all(rendered, Loader=yaml.CSafeLoader) if one is not None]


def found(manifests: list[Manifest], kind: str, name: str = RELEASE) -> Manifest:
    """Give the one object of this kind and name."""
    [one] = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name]
    return one


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Give the pods that Deployments, StatefulSets and Jobs would make, as Pods of their own."""
    for one in manifests:
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = one["spec"]["template"]
            claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
            volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
            spec = {**template["spec"], "volumes": template["spec"].get("volumes", []) + volumes}
            metadata = {**template["metadata"], "name": one["metadata"]["name"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
