"""What an answer of the API server means when it is not the one hoped for.

A table from HTTP status to error, and the sentences: what was asked, what the server said, what to do. Decided by
status, reason and details, not by the wording of a message, which changes between releases. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from perdure import errors

__all__ = ["Details", "error_of", "may_not_impersonate", "unreachable"]

_TRANSIENT = frozenset({401, 408, 410, 425})
"""Refused now, and possibly not a moment later: an expired token, an expired list, an unfinished handshake."""

_HOPELESS_CAUSES = frozenset({"FieldManagerConflict", "NamespaceTerminating"})
"""Reasons of a 403 or 409 that no waiting removes."""

_IMPERSONATE = "impersonate"
"""How the verbs begin that the operator needs to act as somebody."""

_TOO_LARGE = "request is too large"
"""What etcd says to an object above its limit; the API server passes it on as a failure of its own (500)."""

_BUSY = 429
_CONTENT_TOO_LARGE = 413
_FIRST_SERVER_ERROR = 500


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, rename="camel"):
    """What a refusal is about: an object (name, kind, group), and each thing that is wrong."""

    name: str = ""
    kind: str = ""
    group: str = ""
    causes: list[_Cause] = []
    retry_after_seconds: int = 0


class _Status(msgspec.Struct, frozen=True):
    """The body of every refusal that the API server itself writes."""

    message: str = ""
    reason: str = ""
    details: Details = Details()


_decoder = msgspec.json.Decoder(_Status)


def error_of(
    call: errors.KubernetesCall, status: int, *, headers: Mapping[str, str], body: bytes, is_json_patch: bool = False
) -> errors.KubernetesApiError:
    """Give the error that an answer outside 200-299 means."""
    said = _read(body)
    sentence = f"The API server refused to {call} ({status} {said.reason or 'without a reason'}): {said.message}"
    match status:
        case 403:
            return _forbidden(call, said)
        case 404 if not said.details.kind:
            return errors.KubernetesKindUnknownError(call, _kind_unknown(call), status=status, reason=said.reason)
        case 409:
            retryable = not _is_hopeless(said)
            return errors.KubernetesConflictError(
                call, sentence, status=status, reason=said.reason, retryable=retryable
            )
        case 422 if is_json_patch and not said.details.causes:
            message = f"{call}: the object is not the one that the patch is for, or lacks what it changes."
            return errors.KubernetesPatchTestError(call, message, status=status, reason=said.reason)
        case 500 if _TOO_LARGE in said.message:
            return errors.KubernetesApiError(
                call, sentence, status=_CONTENT_TOO_LARGE, reason="TooLarge", retryable=False
            )
        case _ if status == _BUSY or status >= _FIRST_SERVER_ERROR:
            wait = _retry_after(said, headers)
            return errors.KubernetesUnavailableError(
                call, sentence, status=status, reason=said.reason, retry_after_seconds=wait
            )
        case _:
            retryable = status in _TRANSIENT
            return errors.KubernetesApiError(call, sentence, status=status, reason=said.reason, retryable=retryable)


def unreachable(call: errors.KubernetesCall, server: str, *, error: BaseException) -> errors.KubernetesUnavailableError:
    """Give the error for a request that got no answer."""
    why = str(error) or type(error).__name__
    return errors.KubernetesUnavailableError(call, f"The API server {server} did not answer to {call}: {why}")


def _read(body: bytes) -> _Status:
    """Read a refusal; proxies and old paths answer in plain text."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return _Status(message=body[:200].decode(errors="replace").strip())


def _is_hopeless(said: _Status) -> bool:
    return any(cause.reason in _HOPELESS_CAUSES for cause in said.details.causes)


def _forbidden(call: errors.KubernetesCall, said: _Status) -> errors.KubernetesForbiddenError:
    # With constrained impersonation (1.36) the details are those of the object whoever is refused. Of the message only
    # what is part of the API is looked at: the refused user's name, and the verb, in any of its forms.
    is_about_impersonation = bool(call.user) and f'"{call.user}"' not in said.message and _IMPERSONATE in said.message
    kind, sentence = errors.KubernetesForbiddenError, _may_not(call)
    if is_about_impersonation:
        kind, sentence = errors.ImpersonationForbiddenError, may_not_impersonate(call.user)
    message = f"{sentence} The API server says: {said.message}"
    return kind(call, message, status=403, reason=said.reason, retryable=not _is_hopeless(said))


def may_not_impersonate(user: str) -> str:
    """Say that the operator may not act as `system:serviceaccount:NAMESPACE:NAME`, and who can change that, and how."""
    _, _, namespace, name = user.split(":", 3)
    return (
        f"The operator may not act as {user}. Allow it for all of namespace {namespace} with the chart "
        f"(impersonation.namespaces: [{namespace}]), or with a Role in namespace {namespace}, bound to the operator's "
        f"ServiceAccount: verbs [impersonate], resources [serviceaccounts], apiGroups [''], resourceNames [{name}]."
    )


def _may_not(call: errors.KubernetesCall) -> str:
    where, role = "the whole cluster", "ClusterRole"
    if call.namespace:
        where, role = f"namespace {call.namespace}", "Role in that namespace"
    named = f" ({call.name})" if call.name else ""
    return (
        f"{call.user or 'The operator'} may not {call.verb} {call.resource} of API group '{call.api_group}' in {where}"
        f"{named}. If it should, allow it with a {role}: verbs [{call.verb}], resources [{call.resource}], apiGroups "
        f"['{call.api_group}']."
    )


def _kind_unknown(call: errors.KubernetesCall) -> str:
    return (
        f"The API server knows no {call.resource} in API group '{call.api_group}' ({call}). Check apiVersion and kind, "
        "or install what brings them (a CRD, an aggregated API)."
    )


def _retry_after(said: _Status, headers: Mapping[str, str]) -> float:
    """Give the seconds that the server wants; a date, which HTTP also allows, is none that Kubernetes sends."""
    header = headers.get("Retry-After", "")
    return float(header) if header.isdecimal() else float(said.details.retry_after_seconds)
