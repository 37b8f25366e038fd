"""`helm test`: create an Orchestration, wait until it has completed, and remove it again.

    python check.py ORCHESTRATION_FILE TIMEOUT_SECONDS

Runs in a pod of the image with the token of its ServiceAccount, and needs nothing but Python. It asks the API server as
any user would: so a run that completes has gone through the operator and the database, and back.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TOKEN_FOLDER = Path(os.environ.get("TOKEN_FOLDER", "/var/run/secrets/kubernetes.io/serviceaccount"))
ENDS = {"Completed", "Failed", "Cancelled"}
POLL_SECONDS = 0.5


def call(method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send one request to the API server and give its answer."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"https://{f'[{host}]' if ':' in host else host}:{port}/apis/perdure.dev/v1alpha1/{path}"
    token = (TOKEN_FOLDER / "token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers, method=method)
    context = ssl.create_default_context(cafile=str(TOKEN_FOLDER / "ca.crt"))
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310 - the address begins with https
        return json.load(answer)


def say(sentence: str) -> None:
    """Write a line of the log of the pod."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def wait_for_end(path: str, timeout_seconds: float) -> dict[str, Any]:
    """Give the status of a run that has ended, or the last one seen when the time is over; each change is said."""
    end = time.monotonic() + timeout_seconds
    said = ""
    while True:
        try:
            status = call("GET", path).get("status", {})
        except OSError as error:  # an API server that restarts is no verdict on the installation
            status = {"phase": "Unknown", "conditions": [{"type": "Ready", "message": str(error)}]}
        ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
        seen = f"{status.get('phase', 'Pending')}: {ready.get('message', '')}"
        if seen != said:
            say(seen)
            said = seen
        if status.get("phase") in ENDS or time.monotonic() > end:
            return status
        time.sleep(POLL_SECONDS)


def main() -> int:
    """Check once; 0 when the run has completed."""
    orchestration = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    collection = f"namespaces/{orchestration['metadata']['namespace']}/orchestrations"
    try:
        made = call("POST", collection, orchestration)["metadata"]
    except urllib.error.HTTPError as error:
        say(f"the API server refuses the Orchestration: {error.read().decode('utf-8', 'replace')}")
        return 1
    path = f"{collection}/{made['name']}"
    say(f"created {made['namespace']}/{made['name']}")
    try:
        status = wait_for_end(path, float(sys.argv[2]))
    finally:
        call("DELETE", path)
    if status.get("phase") == "Completed":
        say(f"completed with {json.dumps(status.get('output'))}")
        return 0
    say(f"it has not completed: {json.dumps(status, indent=2)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
