"""A stand-in for scheduler, kubelet and volumes: it says that Pods run, and runs nothing.

On the local control plane there is no container engine. This is what makes a StatefulSet, a Deployment or a Job
there come to its end all the same: a Node that is Ready, Pods bound to it, Ready or Succeeded, with an address,
volume claims bound. It looks at no image, command or probe. A test that needs a Pod which never gets ready, or
fails, says so by the annotation `ANNOTATION` on the Pod; one whose containers are to say something when they complete
(in their termination message) says what by the annotation `LAST_WORD` on the namespace.

Theory of operation: all decisions are pure functions of one Pod (`next_step`). Each pass lists all Pods and then
watches from there, and every error whatsoever, also in handling one Pod, ends the pass and begins the next one: so
no Pod is missed for longer than one watch lasts, and there is nothing to repair.
"""

import asyncio
import datetime as dt
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Literal

import aiohttp

NODE = "stand-in"
NODE_ADDRESS = "10.244.0.1"
ANNOTATION = "stand-in.perdure.dev/outcome"
"""On a Pod: `Hold` leaves it Pending on the node, `Fail` lets its containers end with code 1, and `Fail:42` with 42."""
LAST_WORD = "stand-in.perdure.dev/last-word"
"""On a namespace; with `.restore` at its end it is for Pods that have `restore` in their name, and goes before."""

HEARTBEAT_SECONDS = 15
"""The controller manager gives a node up after 50 s without one."""
WATCH_SECONDS = 60
"""After this the watch ends and all Pods are listed again."""
PAUSE_SECONDS = 0.2

Pod = Mapping[str, Any]
Step = Literal["bind", "run", "complete", "fail", "remove", "nothing"]

STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
SETTLED = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
"""The Pod is gone, or somebody was faster: its next event says what to do, if anything."""


def next_step(pod: Pod) -> Step:
    """Return what a kubelet would do with this Pod now; `nothing` for a Pod that has come to rest."""
    metadata, spec = pod["metadata"], pod["spec"]
    if metadata.get("deletionTimestamp"):
        return "nothing" if metadata.get("deletionGracePeriodSeconds") == 0 else "remove"
    if not spec.get("nodeName"):
        return "nothing" if spec.get("schedulingGates") else "bind"
    if spec["nodeName"] != NODE or pod.get("status", {}).get("phase", "Pending") != "Pending":
        return "nothing"
    match _outcome(pod)[0]:
        case "Hold":
            return "nothing"
        case "Fail":
            return "fail"
        case _:
            return "run" if spec.get("restartPolicy", "Always") == "Always" else "complete"


def pod_status(pod: Pod, step: Step, *, address: str, now: str, last_word: str = "") -> dict[str, Any]:
    """Return the status of a Pod that runs and is ready, or whose containers have ended, completed with a word."""
    phase = {"run": "Running", "complete": "Succeeded", "fail": "Failed"}[step]
    is_ready = step == "run"
    done: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    if last_word and step == "complete":
        done["terminated"]["message"] = last_word
    failed: dict[str, Any] = {
        "terminated": {"exitCode": _outcome(pod)[1], "reason": "Error", "startedAt": now, "finishedAt": now}
    }
    running: dict[str, Any] = {"running": {"startedAt": now}}
    state = {"run": running, "complete": done, "fail": failed}[step]
    conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": is_ready, "Ready": is_ready}
    return {
        "phase": phase,
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": NODE_ADDRESS,
        "hostIPs": [{"ip": NODE_ADDRESS}],
        "conditions": [
            {"type": type_, "status": str(is_true), "lastTransitionTime": now} for type_, is_true in conditions.items()
        ],
        "initContainerStatuses": [
            _container_status(container, done, is_ready=True) for container in pod["spec"].get("initContainers", [])
        ],
        "containerStatuses": [
            _container_status(container, state, is_ready=is_ready) for container in pod["spec"]["containers"]
        ],
    }


def last_word(annotations: Mapping[str, str], pod: str) -> str:
    """Return what the containers of a Pod of this name say when they complete, by the annotations of its namespace."""
    for key, word in annotations.items():
        kind, _, part = key.partition(f"{LAST_WORD}.")
        if not kind and part and part in pod:
            return word
    return annotations.get(LAST_WORD, "")


def volume_for(claim: Mapping[str, Any]) -> dict[str, Any]:
    """Return a PersistentVolume that only this PersistentVolumeClaim can be bound to; nothing is ever written there."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "metadata": {"name": f"stand-in-{metadata['uid']}"},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": spec.get("storageClassName", ""),
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {key: metadata[key] for key in ("namespace", "name", "uid")},
            "hostPath": {"path": f"/nonexistent/{metadata['uid']}"},
        },
    }


class Kubelet:
    """Plays one node on the API server of the session, until it is cancelled."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Use `session`, whose user may do everything; the caller closes it."""
        self._session = session
        self._addresses = _addresses()
        self._began = _now()

    async def register(self) -> None:
        """Say that the node is Ready, and make it where it is not there."""
        conditions = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
        common = {"reason": "StandIn", "lastHeartbeatTime": _now(), "lastTransitionTime": self._began}
        status = {
            "capacity": {"cpu": "32", "memory": "64Gi", "pods": "1000", "ephemeral-storage": "100Gi"},
            "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}, {"type": "Hostname", "address": NODE}],
            "conditions": [{"type": type_, "status": value, **common} for type_, value in conditions.items()],
        }
        path, body = f"/api/v1/nodes/{NODE}/status", {"status": status}
        if not await self._call("PATCH", path, body, headers=STRATEGIC):
            labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
            await self._call("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
            await self._call("PATCH", path, body, headers=STRATEGIC)

    async def run(self) -> None:
        """Keep the node alive and its Pods moving; never returns, and no error of the API server ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever(self._beat))
            tasks.create_task(self._forever(self._one_pass))

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            # ValueError: a line of the watch that was cut off in its middle
            except* (aiohttp.ClientError, TimeoutError, ValueError):
                await asyncio.sleep(PAUSE_SECONDS)

    async def _beat(self) -> None:
        await self.register()
        await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _one_pass(self) -> None:
        """List, then watch; each Pod in a task of its own, and the first error ends them all."""
        listed = await self._call("GET", "/api/v1/pods")
        async with asyncio.TaskGroup() as tasks:
            for pod in listed["items"]:
                tasks.create_task(self._handle(pod))
            version = listed["metadata"]["resourceVersion"]
            query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
            patience = aiohttp.ClientTimeout(total=WATCH_SECONDS * 2)
            async with self._session.get("/api/v1/pods", params=query, timeout=patience, read_bufsize=2**22) as watch:
                watch.raise_for_status()
                async for line in watch.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] in ("ADDED", "MODIFIED"):
                        tasks.create_task(self._handle(event["object"]))

    async def _handle(self, pod: Pod) -> None:
        """Move one Pod; a request that the server refuses for what it says must not hold up the other Pods."""
        try:
            await self._move(pod)
        except aiohttp.ClientResponseError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise
            sys.stderr.write(f"kubelet: {pod['metadata']['namespace']}/{pod['metadata']['name']}: {error}\n")

    async def _move(self, pod: Pod) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        match next_step(pod):
            case "bind":
                body = {
                    "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
                    "target": {"kind": "Node", "name": NODE},
                }
                await self._call("POST", f"{path}/binding", body)
            case "run" | "complete" | "fail" as step:
                await self._provide_volumes(pod)
                word = await self._last_word(metadata) if step == "complete" else ""
                status = pod_status(pod, step, address=next(self._addresses), now=_now(), last_word=word)
                await self._call(
                    "PATCH", f"{path}/status", {"metadata": {"uid": metadata["uid"]}, "status": status}, headers=MERGE
                )
            case "remove":
                now = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
                await self._call("DELETE", path, now)
            case "nothing":
                pass

    async def _last_word(self, pod: Mapping[str, Any]) -> str:
        found = await self._call("GET", f"/api/v1/namespaces/{pod['namespace']}")
        return last_word(found.get("metadata", {}).get("annotations", {}), pod["name"])

    async def _provide_volumes(self, pod: Pod) -> None:
        for volume in pod["spec"].get("volumes", []):
            if name := volume.get("persistentVolumeClaim", {}).get("claimName"):
                claim = await self._call(
                    "GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/persistentvolumeclaims/{name}"
                )
                if claim.get("status", {}).get("phase") == "Pending" and not claim["spec"].get("volumeName"):
                    await self._call("POST", "/api/v1/persistentvolumes", volume_for(claim))

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        async with self._session.request(
            method, path, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=30)
        ) as answer:
            if answer.status in SETTLED:
                return {}
            answer.raise_for_status()
            result: dict[str, Any] = await answer.json()
            return result


def _outcome(pod: Pod) -> tuple[str, int]:
    """Give what the Pod asks for, and the exit code that a failure has."""
    word, _, code = pod["metadata"].get("annotations", {}).get(ANNOTATION, "").partition(":")
    return word, int(code or 1)


def _container_status(container: Mapping[str, Any], state: Mapping[str, Any], *, is_ready: bool) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "restartCount": 0,
        "ready": is_ready,
        "started": "running" in state,
        "state": state,
    }


def _addresses() -> Iterator[str]:
    return (f"10.244.{high}.{low}" for high, low in itertools.cycle(itertools.product(range(1, 255), range(1, 255))))


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
