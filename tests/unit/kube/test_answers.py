"""What an answer means: from status, reason and details to the error, whether trying again helps, and what it says.

The bodies are those of a real API server (Kubernetes 1.36), shortened.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure import errors
from perdure._kube import answers

RUNNER = "system:serviceaccount:shop:runner"
CALL = errors.KubernetesCall("create", "statefulsets", "apps", "shop", "db", RUNNER)


def status(reason: str, message: str = "no", **details: Any) -> bytes:
    """Write a refusal as the API server does."""
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details}).encode()


def of(code: int, body: bytes = b"", call: errors.KubernetesCall = CALL, **more: Any) -> errors.KubernetesApiError:
    """Read an answer."""
    return answers.error_of(call, code, headers=more.pop("headers", {}), body=body, **more)


CONFLICT: dict[str, Any] = {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.replicas"}]}
TERMINATING: dict[str, Any] = {"kind": "statefulsets", "causes": [{"reason": "NamespaceTerminating"}]}
INVALID: dict[str, Any] = {"causes": [{"reason": "FieldValueInvalid", "field": "spec"}]}


@pytest.mark.parametrize(
    ("code", "body", "kind", "retryable"),
    [
        (400, status("BadRequest"), errors.KubernetesApiError, False),
        (401, status("Unauthorized"), errors.KubernetesApiError, True),
        (403, status("Forbidden", kind="statefulsets"), errors.KubernetesForbiddenError, True),
        (403, status("Forbidden", **TERMINATING), errors.KubernetesForbiddenError, False),
        (404, status("NotFound", name="shop", kind="namespaces"), errors.KubernetesApiError, False),
        (404, status("NotFound"), errors.KubernetesKindUnknownError, False),
        (404, b"404 page not found\n", errors.KubernetesKindUnknownError, False),
        (405, status("MethodNotAllowed"), errors.KubernetesApiError, False),
        (408, b"", errors.KubernetesApiError, True),
        (409, status("Conflict"), errors.KubernetesConflictError, True),
        (409, status("Conflict", **CONFLICT), errors.KubernetesConflictError, False),
        (410, status("Expired"), errors.KubernetesApiError, True),
        (413, b"", errors.KubernetesApiError, False),
        (415, status("UnsupportedMediaType"), errors.KubernetesApiError, False),
        (422, status("Invalid", **INVALID), errors.KubernetesApiError, False),
        (429, status("TooManyRequests"), errors.KubernetesUnavailableError, True),
        (500, status("InternalError"), errors.KubernetesUnavailableError, True),
        (503, b"<html>gateway</html>", errors.KubernetesUnavailableError, True),
    ],
)
def test_every_answer_says_whether_trying_again_can_help(
    code: int, body: bytes, kind: type[errors.KubernetesApiError], *, retryable: bool
) -> None:
    """A mistake is final, a race, an expired token and a server in trouble are not."""
    error = of(code, body)

    assert type(error) is kind
    assert (error.retryable, error.status) == (retryable, code)
    assert (error.verb, error.resource, error.namespace, error.name) == ("create", "statefulsets", "shop", "db")


def test_an_object_that_etcd_will_not_take_is_no_outage() -> None:
    """The API server passes on a size limit as a failure of its own; waiting would not make the object smaller."""
    error = of(500, status("InternalError", "etcdserver: request is too large"))

    assert (type(error), error.status, error.retryable) == (errors.KubernetesApiError, 413, False)


def test_a_missing_right_is_named_with_its_owner_and_its_remedy() -> None:
    """Who may not do what, where, in which API group, and the Role that would allow it."""
    message = of(403, status("Forbidden", "statefulsets.apps is forbidden", kind="statefulsets")).message

    assert message == (
        "system:serviceaccount:shop:runner may not create statefulsets of API group 'apps' in namespace shop (db). "
        "If it should, allow it with a Role in that namespace: verbs [create], resources [statefulsets], "
        "apiGroups ['apps']. The API server says: statefulsets.apps is forbidden"
    )


def test_a_missing_right_of_the_whole_cluster_asks_for_a_cluster_role() -> None:
    """What has no namespace cannot be allowed by a Role."""
    call = errors.KubernetesCall("list", "namespaces")

    message = of(403, status("Forbidden", kind="namespaces"), call).message

    assert message.startswith("The operator may not list namespaces of API group '' in the whole cluster. ")
    assert "a ClusterRole: " in message


@pytest.mark.parametrize(
    "body",
    [
        status(
            "Forbidden",
            'serviceaccounts "runner" is forbidden: User "system:serviceaccount:perdure:operator" cannot impersonate '
            'resource "serviceaccounts" in API group "" in the namespace "shop"',
            kind="serviceaccounts",
            name="runner",
        ),
        status(
            "Forbidden",
            'statefulsets.apps "db" is forbidden: User "system:serviceaccount:perdure:operator" cannot '
            'impersonate-on:serviceaccount:create resource "statefulsets" in API group "apps" in the namespace "shop"',
            kind="statefulsets",
            name="db",
        ),
    ],
    ids=["plain", "constrained"],
)
def test_a_missing_right_to_impersonate_is_the_operators(body: bytes) -> None:
    """When it is the operator who may not act as the ServiceAccount, the ServiceAccount is not blamed."""
    error = of(403, body)
    message = error.message

    assert type(error) is errors.ImpersonationForbiddenError
    assert message.startswith("The operator may not act as system:serviceaccount:shop:runner. ")
    assert "impersonation.namespaces: [shop]" in message
    assert "verbs [impersonate], resources [serviceaccounts], apiGroups [''], resourceNames [runner]" in message


@pytest.mark.parametrize(
    "said",
    [
        f'serviceaccounts "x" is forbidden: User "{RUNNER}" cannot impersonate resource "serviceaccounts"',
        'admission webhook "policy" denied the request',
    ],
)
def test_what_the_run_itself_is_refused_is_not_taken_for_a_missing_impersonation(said: str) -> None:
    """A refusal of the run, or one that names nobody, is what it says."""
    assert of(403, status("Forbidden", said, kind="serviceaccounts")).message.startswith(f"{RUNNER} may not create")


def test_a_failed_test_of_a_patch_is_told_from_a_wrong_patch() -> None:
    """The server gives causes for a wrong object, and none when a test operation fails."""
    assert type(of(422, status("Invalid"), is_json_patch=True)) is errors.KubernetesPatchTestError
    assert type(of(422, status("Invalid", **INVALID), is_json_patch=True)) is errors.KubernetesApiError
    assert type(of(422, status("Invalid"))) is errors.KubernetesApiError


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "Fri, 01 Jan 2027 00:00:00 GMT"}, {}, 0.0),
        ({}, {}, 0.0),
    ],
)
def test_a_busy_server_says_how_long_to_wait(headers: dict[str, str], details: dict[str, Any], seconds: float) -> None:
    """The header counts, then the body; what cannot be read is no wait."""
    error = of(429, status("TooManyRequests", **details), headers=headers)

    assert isinstance(error, errors.KubernetesUnavailableError)
    assert error.retry_after_seconds == seconds


def test_no_answer_names_the_server_and_the_reason() -> None:
    """A connection that fails leads to the address that was tried."""
    error = answers.unreachable(CALL, "https://10.0.0.1:443", error=TimeoutError())

    assert error.message == (
        "The API server https://10.0.0.1:443 did not answer to create statefulsets.apps shop/db: TimeoutError"
    )
