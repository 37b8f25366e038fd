"""Instances that have too many signals to take those of a turn: found before the turn is committed.

A turn is all or nothing, and its code goes on before anybody knows what the database says. So a turn that sends more
than somebody takes is not committed: its instance goes back to what stands in history, takes the same turn anew, and
this time sending raises (`history.SignalRefused`). Nothing of the first try has happened, and no signal was lost.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Sequence

from perdure._core import history, limits
from perdure._engine.turn import TakenTurn
from perdure._store.store import Record, Store

__all__ = ["recorded", "refused", "rewind"]


async def refused(store: Store, turns: Iterable[TakenTurn]) -> dict[TakenTurn, list[str]]:
    """Find the turns that send more signals than fit, and to whom; it asks nothing when no signal is sent.

    As for clients, signals are counted as a statement finds them: senders at the same moment may go beyond the limit.
    """
    asked = {turn: signals for turn in turns if turn.sent and (signals := _signals_of(turn))}
    if not asked:
        return {}
    rows = await store.fetch_patiently("signal_room", sorted(set().union(*asked.values())))
    unconsumed = collections.Counter({row["instance_id"]: row["unconsumed"] for row in rows})
    found = {}
    for turn, signals in asked.items():
        full = [to for to, count in signals.items() if unconsumed[to] + count > limits.UNCONSUMED_SIGNALS]
        if full:
            found[turn] = full
        else:
            unconsumed.update(signals)
    return found


async def recorded(store: Store, turns: Iterable[TakenTurn]) -> dict[str, list[Record]]:
    """Read what stands of the executions of these turns, by instance."""
    identities = [turn.resident.execution.identity for turn in turns]
    ids, executions = [one.instance_id for one in identities], [one.execution for one in identities]
    rows = await store.fetch_patiently("history_load", ids, executions)
    return {key: list(group) for key, group in itertools.groupby(rows, lambda row: row["instance_id"])}


def rewind(turn: TakenTurn, rows: Sequence[Record]) -> bool:
    """Bring the code back to where it was before this turn; False when by what stands it is not ours any more."""
    resident = turn.resident
    if rows:
        is_ours = bool(rows[-1]["turn"] + 1 == resident.turn)
    else:
        is_ours = bool(turn.events) and isinstance(turn.events[0], history.OrchestrationStarted)
    if is_ours:
        resident.execution.rewind(history.decode_turn(row["at"], row["body"]) for row in rows)
    return is_ours


def _signals_of(turn: TakenTurn) -> collections.Counter[str]:
    return collections.Counter(message.instance_id for message in turn.sent if message.kind == "Signal")
