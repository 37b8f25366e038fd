"""What a run needs of the cluster before it starts: whom it acts as, and the parts of its input that stand elsewhere.

Everything about the run is read as the run's ServiceAccount (I13); of the operator's own rights only two are used, to
ask whether it may impersonate, and whether the ServiceAccount exists. What is missing is a refusal that says so; an API
server that gives no answer raises. It must not know when it is asked, how often, or what becomes of the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pydantic import JsonValue

from perdure import errors
from perdure._core import payload
from perdure._core.activity import Manifest
from perdure._kube import sources
from perdure._kube.api.refusals import Refusal
from perdure._kube.identity import Identities

__all__ = ["Needs", "Preflight"]


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs: `run_as` is whom it acts as, `input` what `sources` are put into."""

    run_as: str
    input: JsonValue = None
    sources: Sequence[sources.Source] = ()


class Preflight:
    """Looks for what runs need."""

    def __init__(self, identities: Identities) -> None:
        """Ask through `identities`, which remember for a moment what they have found."""
        self._identities = identities

    async def look(self, needs: Needs) -> Refusal | bytes:
        """Give the input of the run as JSON, or why it cannot start now.

        Raises `KubernetesApiError` when the API server does not say whether it can.
        """
        try:
            await self._identities.preflight(needs.run_as)
        except errors.ServiceAccountMissingError as error:
            return Refusal("ServiceAccountMissing", f"{error.code}: {error.message}", waits=True)
        except errors.ImpersonationForbiddenError as error:
            return Refusal("ImpersonationForbidden", f"{error.code}: {error.message}")
        found: dict[tuple[str, str], Manifest] = {}
        missing: list[str] = []
        forbidden: list[str] = []
        for source in needs.sources:
            try:
                manifest = found.get((source.kind, source.name)) or await self._read(needs.run_as, source)
            except errors.ImpersonationForbiddenError as error:
                return Refusal("ImpersonationForbidden", f"{error.code}: {error.message}")
            except errors.KubernetesForbiddenError as error:
                forbidden.append(f"{error.code}: {error.message}")
                continue
            if said := sources.missing_or_none(source, manifest):
                missing.append(f"spec.inputFrom wants {source.path} of it, but {said}.")
            elif manifest is not None:
                found[source.kind, source.name] = manifest
        return _refusal_or_none(missing, forbidden) or _filled(needs, found)

    async def _read(self, run_as: str, source: sources.Source) -> Manifest | None:
        """Read a source as the run. The values of a Secret are dropped with the manifest."""
        return await self._identities.for_run(run_as).get("v1", source.kind, source.name)


def _refusal_or_none(missing: Sequence[str], forbidden: Sequence[str]) -> Refusal | None:
    """Say all that is missing at once; a right that is missing hides what else is, so it comes first."""
    if forbidden:
        message = f"{' '.join(dict.fromkeys(forbidden))} The run starts by itself when it may read what it is made of."
        return Refusal("InputSourceForbidden", message, waits=True)
    if missing:
        message = f"{' '.join(missing)} The run starts by itself when it is there."
        return Refusal("InputSourceMissing", message, waits=True)
    return None


def _filled(needs: Needs, found: dict[tuple[str, str], Manifest]) -> Refusal | bytes:
    value = sources.put(needs.input, needs.sources, manifests=found) if needs.sources else needs.input
    try:
        return payload.encode(value, "input with spec.inputFrom")
    except errors.PayloadError as error:
        return Refusal("InputInvalid", f"{error.code}: {error.message}")
