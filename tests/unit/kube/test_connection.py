"""What is sent again and what is not, against a small HTTP server that answers from a script.

The API server is faked at the HTTP border only: a list of answers, each given once, and the requests that came. What a
real API server does is shown in `tests/e2e`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp.test_utils
import pytest
from aiohttp import web

from perdure import errors
from perdure._kube import client, connection, pacing, watching

KINDS = {
    "resources": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": []},
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": []},
    ]
}
BUSY = {"kind": "Status", "message": "busy", "reason": "TooManyRequests"}
BROKEN = {"kind": "Status", "message": "etcd is away", "reason": "InternalError"}
CONFIG: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(status: int, body: Any = None, **headers: str) -> Answer:
    """Answer with JSON, or with text."""

    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers={key.replace("_", "-"): v for key, v in headers.items()})

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


class Script:
    """A server that gives these answers in turn, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give the next answer."""
        await request.read()
        if request.path == "/api/v1":
            return web.json_response(KINDS)
        self.requests.append(request)
        return await self.answers.pop(0)(request)

    @property
    def asked(self) -> list[str]:
        """The requests in words."""
        return [f"{request.method} {request.path}" for request in self.requests]


@pytest.fixture
def script() -> Script:
    """Give a server's script."""
    return Script()


@pytest.fixture
async def api(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[client.Api]:
    """Give a client of the scripted server that does not wait long between attempts."""
    monkeypatch.setattr(connection, "_FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(watching, "_FIRST_PAUSE_SECONDS", 0.001)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    async with aiohttp.test_utils.TestServer(app) as server:
        config = {
            "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        opened = await client.Api.connect(str(tmp_path / "kubeconfig"))
        yield opened
        await opened.close()


@pytest.mark.parametrize("trouble", [says(500, BROKEN), says(503, "gateway"), says(429, BUSY), hangs_up])
async def test_a_request_that_may_arrive_twice_is_sent_again(script: Script, api: client.Api, trouble: Answer) -> None:
    """A server in trouble for a moment is nobody's concern."""
    script.answers = [trouble, trouble, says(200, CONFIG)]

    assert await api.get("v1", "ConfigMap", "c", namespace="n") == CONFIG
    assert script.asked == ["GET /api/v1/namespaces/n/configmaps/c"] * 3


async def test_patience_ends(script: Script, api: client.Api) -> None:
    """A server that stays in trouble is said to be, after a handful of tries."""
    script.answers = [says(500, BROKEN)] * 9

    with pytest.raises(errors.KubernetesUnavailableError, match=r"\(500 InternalError\): etcd is away"):
        await api.get("v1", "ConfigMap", "c", namespace="n")

    assert len(script.requests) == 5


@pytest.mark.parametrize("trouble", [says(500, BROKEN), hangs_up])
async def test_a_creation_is_never_sent_twice_when_the_first_may_have_landed(
    script: Script, api: client.Api, trouble: Answer
) -> None:
    """Whether it was created is unknown: whoever asked must look."""
    script.answers = [trouble]

    with pytest.raises(errors.KubernetesUnavailableError):
        await api.create(dict(CONFIG), field_manager="test")

    assert script.asked == ["POST /api/v1/namespaces/n/configmaps"]


async def test_a_busy_server_has_not_created_anything(script: Script, api: client.Api) -> None:
    """After a 429 a creation is sent again: the server has not begun it."""
    script.answers = [says(429, BUSY), says(201, CONFIG)]

    assert await api.create(dict(CONFIG), field_manager="test") == CONFIG


async def test_a_log_is_text_and_asked_for_once(script: Script, api: client.Api) -> None:
    """What a container writes is given as it is, also what is no UTF-8; the node behind it may be away for long."""
    script.answers = [says(200, '{"a": 1}\nline 2'), says(500, BROKEN)]

    assert await api.log("p", container="main", namespace="n", tail_lines=2) == '{"a": 1}\nline 2'
    with pytest.raises(errors.KubernetesUnavailableError, match="get pods/log n/p"):
        await api.log("p", namespace="n")

    assert script.asked == ["GET /api/v1/namespaces/n/pods/p/log"] * 2
    assert dict(script.requests[0].query) == {"container": "main", "tailLines": "2", "limitBytes": "1048576"}


async def test_a_server_that_wants_a_long_rest_gets_it(script: Script, api: client.Api) -> None:
    """A long Retry-After is not sat out inside a call: the caller is told how long."""
    script.answers = [says(429, BUSY, Retry_After="3600")]

    with pytest.raises(errors.KubernetesUnavailableError) as raised:
        await api.get("v1", "ConfigMap", "c", namespace="n")

    assert raised.value.retry_after_seconds == 3600


class Turns(pacing.Pace):
    """A pace that lets everybody through, and remembers what it was told."""

    def __init__(self) -> None:
        self.story: list[str] = []

    async def take(self, on_wait: pacing.OnWait | None = None) -> None:
        """Give a token, and say that it took two seconds."""
        self.story.append("take")
        if on_wait is not None:
            on_wait(2.0)

    def pause(self, seconds: float) -> None:
        """Remember for how long."""
        self.story.append(f"pause {seconds:g}")


async def test_each_request_of_a_run_takes_its_turn_and_a_busy_server_pauses_all_runs(
    script: Script, api: client.Api
) -> None:
    """What is sent again takes another turn, what one request is told holds for all, and who waits hears of it."""
    turns, waited = Turns(), list[float]()
    api.pace_runs(turns)
    script.answers = [says(429, BUSY, Retry_After="3"), says(200, CONFIG)]

    await api.acting_as("system:serviceaccount:n:runner", waited.append).get("v1", "ConfigMap", "c")

    assert turns.story == ["take", "pause 3", "take"]
    assert waited == [2.0, 2.0]


async def test_the_operator_itself_waits_for_no_turn(script: Script, api: client.Api) -> None:
    """Its statuses have a budget of their own, and what runs are told is no business of theirs."""
    turns = Turns()
    api.pace_runs(turns)
    script.answers = [says(429, BUSY), says(200, CONFIG)]

    await api.get("v1", "ConfigMap", "c", namespace="n")

    assert turns.story == []


@pytest.mark.parametrize("answer", ["<html>login</html>", ""])
async def test_an_answer_that_is_no_json_is_no_answer(script: Script, api: client.Api, answer: str) -> None:
    """A proxy that speaks for the API server is not taken for it."""
    script.answers = [says(200, answer)] * 5

    with pytest.raises(errors.KubernetesUnavailableError, match="did not answer"):
        await api.get("v1", "ConfigMap", "c", namespace="n")


async def test_refused_credentials_are_renewed_once(script: Script, api: client.Api) -> None:
    """A token that ran out is read anew before anybody hears of it; one that stays refused is said to be."""
    script.answers = [says(401, {}), says(200, CONFIG)]
    assert await api.get("v1", "ConfigMap", "c", namespace="n") == CONFIG

    script.answers = [says(401, {"message": "Unauthorized", "reason": "Unauthorized"})] * 2
    with pytest.raises(errors.KubernetesApiError, match="401 Unauthorized") as raised:
        await api.get("v1", "ConfigMap", "c", namespace="n")
    assert raised.value.retryable


async def test_a_run_is_impersonated_by_one_header_and_no_groups(script: Script, api: client.Api) -> None:
    """The user goes into `Impersonate-User`, on the operator's token; its groups are the server's to add."""
    script.answers = [says(200, CONFIG)] * 2

    await api.acting_as("system:serviceaccount:n:runner").get("v1", "ConfigMap", "c")
    await api.get("v1", "ConfigMap", "c", namespace="n")

    as_run, as_operator = script.requests
    assert as_run.headers["Impersonate-User"] == "system:serviceaccount:n:runner"
    assert as_run.headers["Authorization"] == "Bearer secret"
    assert not [name for name in as_run.headers if name.startswith("Impersonate-") and name != "Impersonate-User"]
    assert "Impersonate-User" not in as_operator.headers


async def test_a_list_that_expires_between_pages_begins_again(script: Script, api: client.Api) -> None:
    """A continue token that the server no longer knows costs a second reading, and no object is lost or doubled."""
    item = {"metadata": {"name": "c"}}
    first = {"metadata": {"resourceVersion": "7", "continue": "token"}, "items": [item]}
    last = {"metadata": {"resourceVersion": "7"}, "items": [item]}
    script.answers = [says(200, first), says(410, {"reason": "Expired"}), says(200, first), says(200, last)]

    listed = await api.list_metadata("v1", "ConfigMap")

    assert (len(listed.items), listed.resource_version) == (2, "7")
    assert script.requests[-1].query["continue"] == "token"
    assert "as=PartialObjectMetadataList" in script.requests[-1].headers["Accept"]


@pytest.mark.parametrize("name", ["", ".", "..", "../secrets/x", "a/b", "a%2Fb"])
async def test_a_name_cannot_lead_to_another_path(script: Script, api: client.Api, name: str) -> None:
    """Names come from users: one that would change the path is refused before anything is sent."""
    with pytest.raises(errors.ManifestError, match="cannot be a name"):
        await api.get("v1", "ConfigMap", name, namespace="n")
    with pytest.raises(errors.ManifestError, match="cannot be a name"):
        await api.delete("v1", "ConfigMap", "c", namespace=name or "..")

    assert script.requests == []


@pytest.mark.parametrize(
    "manifest", [{}, {"kind": "ConfigMap"}, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}]
)
async def test_a_manifest_that_does_not_say_what_it_is_is_refused(api: client.Api, manifest: dict[str, Any]) -> None:
    """What is missing is said before anything is sent."""
    with pytest.raises(errors.ManifestError, match="needs apiVersion, kind and metadata"):
        await api.apply(manifest, field_manager="test")


async def test_a_watch_goes_on_through_expired_versions_and_lost_connections(script: Script, api: client.Api) -> None:
    """Each end of a watch is answered by a new list; what was shown is not shown again."""

    def event(kind: str, version: str) -> str:
        return json.dumps({"type": kind, "object": {"metadata": {"name": "c", "resourceVersion": version}}}) + "\n"

    def listed(*versions: str) -> Answer:
        items = [{"metadata": {"name": "c", "resourceVersion": version}} for version in versions]
        return says(200, {"metadata": {"resourceVersion": "9"}, "items": items})

    expired = json.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}) + "\n"
    script.answers = [
        listed(), says(200, event("ADDED", "1") + event("BOOKMARK", "5") + expired),
        listed("1"), says(410, {"reason": "Expired"}),
        listed("2"), hangs_up,
        says(429, BUSY), listed("2"), says(200, event("DELETED", "3")),
    ]  # fmt: skip

    seen = []
    changes = api.watch("v1", "ConfigMap", "c", namespace="n")
    async for found in changes:
        seen.append(found and found["metadata"]["resourceVersion"])  # type: ignore[index, call-overload]  # JSON
        if len(seen) == 4:
            break
    await changes.aclose()

    assert seen == [None, "1", "2", None]


async def test_a_watch_that_is_forbidden_says_so(script: Script, api: client.Api) -> None:
    """What waiting cannot help ends the watch."""
    script.answers = [says(403, {"reason": "Forbidden", "details": {"kind": "configmaps"}})]

    with pytest.raises(errors.KubernetesForbiddenError, match="may not list configmaps"):
        await anext(api.watch("v1", "ConfigMap", "c", namespace="n"))


async def test_an_answer_nested_too_deeply_is_cut_for_the_operator_and_refused_to_a_run(
    api: client.Api, script: Script
) -> None:
    """The operator sees the object among others; a run is told, since a part would be taken for the whole."""
    deep = json.dumps({**CONFIG, "data": "DEEP"}).replace('"DEEP"', "[" * 100_000 + "]" * 100_000)
    script.answers += [says(200, deep), says(200, deep)]

    found = await api.get("v1", "ConfigMap", "c", namespace="n")
    with pytest.raises(errors.KubernetesApiError, match="nested too deeply") as refused:
        await api.acting_as("system:serviceaccount:n:runner").get("v1", "ConfigMap", "c")

    assert found is not None
    assert found["metadata"] == CONFIG["metadata"]
    assert not refused.value.retryable
