"""The part of the client that sends signals: named messages to running instances, many in one statement.

A signal comes in once for each dedupe key, in the order in which it was sent, and waits for the code to ask for it. It
must not know what code does with it, nor when: sending is over when the database has it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import msgspec

from perdure import errors
from perdure._core import history, identifiers, limits
from perdure._core import payload as payloads
from perdure._store.batching import Batcher
from perdure._store.store import Store
from perdure.client.connection import LocalWorker
from perdure.client.looking import Looking, not_found

__all__ = ["Fate", "Signalling"]

Fate = Literal["Sent", "Known", "Finished"]
"""What became of a signal: it is on its way; its dedupe key was used before; its instance has ended. In the last two
cases nothing is sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Signal:
    instance_id: str
    body: bytes
    dedupe_key: str | None


class Signalling(Looking):
    """How one speaks to an instance."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        super().__init__(store, worker, owns_store=owns_store)
        self._signals: Batcher[_Signal, str] = Batcher(
            self._write_signals, max_weight=limits.TURN_BYTES, weigh=lambda signal: len(signal.body)
        )

    async def send_signal(
        self, instance_id: str, name: str, payload: object = None, *, dedupe_key: str | None = None
    ) -> Fate:
        """Send a signal; the code gets it when it waits for `name`, at once or later, first in, first out.

        A `dedupe_key` makes sending it again harmless for as long as the instance exists. An instance that has ended
        takes none, which is no error.

        Raises `InstanceNotFoundError`, `DefinitionError` for a name or key that can be none, `PayloadError`, and
        `SignalsFullError` when the instance has too many that it did not wait for.
        """
        identifiers.check_instance_id(instance_id)
        identifiers.check_signal_name(name)
        if dedupe_key is not None:
            identifiers.check_dedupe_key(dedupe_key)
        fate = await self._signals.submit(_Signal(instance_id, _body(instance_id, name, payload), dedupe_key))
        match fate:
            case "Sent":
                self._nudge()
                return "Sent"
            case "Known":
                return "Known"
            case "Finished":
                return "Finished"
            case "Full":
                raise errors.SignalsFullError(instance_id, limits.UNCONSUMED_SIGNALS)
            case _:
                raise not_found(instance_id)

    async def _write_signals(self, signals: list[_Signal]) -> list[str]:
        """Write many signals in one statement; of those with one key in one batch the first is sent."""
        first: dict[object, int] = {}
        same_as = [first.setdefault((s.instance_id, s.dedupe_key or object()), n) for n, s in enumerate(signals)]
        chosen = list(first.values())
        rows = await self._fetch(
            "signal_send",
            [signals[number].instance_id for number in chosen],
            [signals[number].body for number in chosen],
            [signals[number].dedupe_key for number in chosen],
            limits.UNCONSUMED_SIGNALS,
        )
        fates = {chosen[row["position"] - 1]: row["fate"] for row in rows}
        return [
            "Known" if number != original and fates.get(original) == "Sent" else fates.get(original, "Missing")
            for number, original in enumerate(same_as)
        ]


def _body(instance_id: str, name: str, value: object) -> bytes:
    """Give the message as the event that it becomes."""
    data = payloads.encode(value, f"payload of signal {name} to {instance_id}")
    return history.encode_event(history.SignalReceived(name, msgspec.Raw(data)))
