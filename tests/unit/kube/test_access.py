"""Which API server is meant, and what is said when none is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure import errors
from perdure._kube import access


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be in no pod, with no variable set, and with somebody's ~/.kube/config in the way."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", "https://production.example")
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path: Path, server: str, *, namespace: str | None = None, current: str = "c") -> Path:
    """Write a kubeconfig."""
    context = {"cluster": "k", "user": "u"} | ({"namespace": namespace} if namespace else {})
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": current,
                "clusters": [{"name": "k", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": context}],
            }
        )
    )
    return path


async def test_a_named_kubeconfig_is_used(tmp_path: Path) -> None:
    """The file that was named wins, with the namespace of its context."""
    found = await access.find(str(write(tmp_path / "named", "https://named.example", namespace="shop")))

    assert (found.configuration.host, found.namespace) == ("https://named.example", "shop")


async def test_the_variable_is_used_when_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$KUBECONFIG says where; without a namespace in its context, default is meant."""
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "variable", "https://variable.example")))

    found = await access.find(None)

    assert (found.configuration.host, found.namespace) == ("https://variable.example", "default")


async def test_the_environment_cannot_redirect_what_is_sent(tmp_path: Path) -> None:
    """Proxies and .netrc of the environment are ignored."""
    found = await access.find(str(write(tmp_path / "named", "https://named.example")))

    assert found.configuration.client_session_kwargs == {"trust_env": False}


async def test_somebodys_current_context_is_never_used() -> None:
    """Without a word of where to go, it goes nowhere, and says what to set."""
    with pytest.raises(errors.KubernetesConfigError, match="Set KUBECONFIG to a kubeconfig file"):
        await access.find(None)


async def test_a_pod_without_an_identity_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod without a mounted token the remedy is named."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    with pytest.raises(errors.KubernetesConfigError, match="automountServiceAccountToken"):
        await access.find(None)


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path that was tried is in the message."""
    with pytest.raises(errors.KubernetesConfigError, match=r"missing cannot be used: there is no such file"):
        await access.find(str(tmp_path / "missing"))


@pytest.mark.parametrize("content", ["", "[]", "{", "clusters: 1", "apiVersion: v1"])
async def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """Whatever the file holds, the error is ours and names it."""
    path = tmp_path / "broken"
    path.write_text(content)

    with pytest.raises(errors.KubernetesConfigError, match="broken cannot be used"):
        await access.find(str(path))


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A current context that the file does not have is told by name."""
    path = write(tmp_path / "named", "https://named.example", current="other")

    with pytest.raises(errors.KubernetesConfigError, match="other"):
        await access.find(str(path))
