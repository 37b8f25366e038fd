"""Where the API server is, and how this process proves who it is.

Reads a kubeconfig or the pod's own identity into the configuration of `kubernetes.aio`. The context that somebody's
`~/.kube/config` happens to have is never used: what this process writes to, somebody has named. Proxies and `.netrc` of
the environment are ignored as well. Nothing here contacts the server, though a kubeconfig may run a helper program
(exec plugins of the clouds).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from perdure import errors

__all__ = ["Access", "find", "is_in_pod"]

_load_kube_config: Any = kube_config.load_kube_config  # kubernetes.aio's loaders have no types
_load_incluster_config: Any = kube_config.load_incluster_config

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_POOL = 32
"""Connections of one pool: as many requests as it may have under way at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """A configuration, the namespace it defaults to, and how to ask for fresh credentials when they are refused."""

    configuration: kube.Configuration
    namespace: str
    renew: Callable[[], Awaitable[None]]


async def find(kubeconfig: str | None) -> Access:
    """Find the way to the API server: the file named, else a pod's own identity, else `$KUBECONFIG`.

    Raises `KubernetesConfigError` with what was tried and what to do.
    """
    configuration = kube.Configuration()
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.connection_pool_maxsize = _POOL
    # Python 3.13 refuses the certificates of EKS and others for want of an extension; kubectl takes them.
    configuration.disable_strict_ssl_verification = True
    if kubeconfig:
        return await _from_file(kubeconfig, configuration)
    if is_in_pod():
        return _from_pod(configuration)
    if os.environ.get("KUBECONFIG"):
        return await _from_file(os.environ["KUBECONFIG"], configuration)
    raise errors.KubernetesConfigError(
        "Nothing says where the API server is: this is no pod, no kubeconfig was named, and $KUBECONFIG is not set. "
        "Set KUBECONFIG to a kubeconfig file; a worker that needs no cluster is run with PERDURE_KUBERNETES=off."
    )


def is_in_pod() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


async def _from_file(path: str, configuration: kube.Configuration) -> Access:
    try:
        loader = await _load_kube_config(path, client_configuration=configuration, persist_config=False)
        namespace = str(loader.current_context["context"].get("namespace") or "default")
    except (
        kube_config.ConfigException,
        OSError,
        yaml.YAMLError,
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
    ) as error:
        raise errors.KubernetesConfigError(
            f"The kubeconfig {path} cannot be used: {_complaint(path, error)}. Name a file with a current context, as "
            f"`kubectl --kubeconfig {path} get namespaces` would need."
        ) from error

    async def renew() -> None:
        await loader.load_and_set(configuration)

    return Access(configuration, namespace, renew)


def _complaint(path: str, error: Exception) -> str:
    """Say what is wrong; the loader stumbles over a missing or an empty file without naming it."""
    names = [name for name in path.split(os.pathsep) if name]
    if not any(Path(name).expanduser().is_file() for name in names):
        return "there is no such file"
    return str(error).rstrip(".") or type(error).__name__


def _from_pod(configuration: kube.Configuration) -> Access:
    try:
        _load_incluster_config(client_configuration=configuration)
        namespace = _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except (kube_config.ConfigException, OSError) as error:
        raise errors.KubernetesConfigError(
            f"This pod has no usable identity: {str(error).rstrip('.')}. Give it a ServiceAccount and leave "
            "automountServiceAccountToken on, or name a kubeconfig."
        ) from error

    async def renew() -> None:
        _load_incluster_config(client_configuration=configuration)

    return Access(configuration, namespace, renew)
