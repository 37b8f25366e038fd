"""The invariants of the house, looked at by somebody who was not there.

Three kinds: of the committed tables after a statement (`checks.sql` and the store's own `stranded.sql`), of each commit
as it happens, and of whole histories at the end. They know tables and the words of history; they must not know how the
engine comes to them.
"""

from __future__ import annotations

import collections
import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from perdure import errors
from perdure._core import history, lifecycle, operation, replay
from perdure._store import statements
from tests.simulation import programs
from tests.simulation.ledger import Key

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Checks", "Violation"]

_STRANDED: Final = """
union all
select 'I5: nothing is stranded', s.instance_id, format('%s, owner %s', s.phase, s.owner_id)
from (
"""
_TABLES: Final = "".join(
    (
        (Path(__file__).parent / "checks.sql").read_text(encoding="utf-8"),
        _STRANDED,
        statements.load()["stranded"],
        "\n) s",
    )
)
_OWNERS: Final = "select instance_id, owner_id from instances where finished_at is null"
_INSTANCES: Final = "select * from instances order by instance_id"
_TURNS: Final = "select execution, at, body from history where instance_id = $1 order by turn"
_ASKED: Final = "select body from history where instance_id = $1 and execution = $2"
_LEFT_BEHIND: Final = "I5: what has ended leaves nothing behind"
"""What a message or a failed attempt leaves that was committed while the last turn waited for it is no violation: it is
never read again. So this rule is for worlds in which no transactions have overlapped yet."""
_DELIVERED_WITHIN: Final = datetime.timedelta(seconds=60)


class Violation(AssertionError):  # noqa: N818 - what it is called in every sentence about it
    """An invariant does not hold."""


class Checks:
    """Looks at a world and tells it of every violation."""

    def __init__(self, world: World, *, every: int) -> None:
        """Look at the tables after every so many statements."""
        self._world = world
        self._every = every
        self._statements = 0

    # After a statement.

    def owners(self, name: str) -> Mapping[str, uuid.UUID | None]:
        """Give who owns what before a commit of turns; if that has to wait for a lock, it is of no use any more."""
        if not name.startswith("commit_turn"):
            return {}
        return {row["instance_id"]: row["owner_id"] for row in self._look(_OWNERS)}

    def committed(
        self, owners: Mapping[str, uuid.UUID | None], owner_id: object, rows: Sequence[asyncpg.Record]
    ) -> None:
        """Whoever committed a turn was the owner (I4); that it was the next turn, the tables show."""
        for row in rows:
            instance_id = row["instance_id"]
            if row["is_turn"] and instance_id in owners and owners[instance_id] != owner_id:
                self._world.violated(
                    f"I4: only the owner commits: {instance_id} belongs to {owners[instance_id]}, and {owner_id} has "
                    "committed a turn of it"
                )

    def tables(self) -> None:
        """Look at the tables, now and then."""
        self._statements += 1
        if self._statements % self._every == 0:
            self.tables_now()

    def tables_now(self) -> None:
        """Look at the tables."""
        for row in self._look(_TABLES, now=self._world.now()):
            if self._world.has_overlapped and row["rule"] == _LEFT_BEHIND:
                continue
            self._world.violated(f"{row['rule']}: {row['instance_id']}: {row['detail']}")

    def asked_for(self, key: Key) -> None:
        """An activity that begins was asked for by a turn that is committed (I2), unless that was removed meanwhile."""
        if self._world.ledger.was_removed(key.instance_id):
            return
        for row in self._look(_ASKED, key.instance_id, key.execution):
            for command in history.decode_turn(self._world.now(), row["body"]).commands:
                if isinstance(command, history.ScheduleActivity) and command.seq == key.seq:
                    return
        self._world.violated(f"I2: commit before effect: {key} runs, and no committed turn asks for it")

    # At the end.

    def histories(self) -> None:
        """Look at all that was recorded, and replay it cold."""
        for row in self._look(_INSTANCES):
            turns: dict[int, list[history.Turn]] = collections.defaultdict(list)
            for turn in self._look(_TURNS, row["instance_id"]):
                turns[turn["execution"]].append(history.decode_turn(turn["at"], turn["body"]))
            for execution, its_turns in turns.items():
                self._events(Key(row["instance_id"], execution, 0), its_turns)
                self._replay(row, execution, its_turns)
            self._signals(row, [turn for its_turns in turns.values() for turn in its_turns])

    def _events(self, place: Key, turns: Sequence[history.Turn]) -> None:
        """Results belong to what was asked before, come once, from somebody who did it, and timers never early."""
        asked: dict[int, history.Command] = {}
        answered: dict[int, history.Event] = {}
        for number, turn in enumerate(turns):
            starts = [isinstance(event, history.OrchestrationStarted) for event in turn.events].count(True)
            is_forced = any(isinstance(event, history.GraceEnded) for event in turn.events)
            if starts != (number == 0) and not (is_forced and not starts):
                self._world.violated(f"an execution starts once: {place} turn {number}: {turn.events}")
            for event in turn.events:
                seq = getattr(event, "seq", None)
                if seq is None:
                    continue
                first = answered.setdefault(seq, event)
                if seq not in asked or not (first is event or _may_follow(first, event, asked[seq])):
                    self._world.violated(f"I10: a result is applied once, of something asked: {place} {event}, {first}")
                self._result(place._replace(seq=seq), asked.get(seq), event, turn)
            for command in turn.commands:
                if isinstance(command, operation.Asked):
                    asked[command.seq] = command

    def _result(self, key: Key, command: history.Command | None, event: history.Event, turn: history.Turn) -> None:
        match event, command:
            case history.TimerFired(), history.CreateTimer(fire_at=fire_at):
                if turn.at < fire_at:
                    self._world.violated(f"I7: a timer never fires early: {key} at {turn.at}, due {fire_at}")
            case history.ActivityCompleted(result=result), history.ScheduleActivity(input=input):
                text = str(json.loads(bytes(result)))
                tag = programs.plan_of(json.loads(bytes(input))).tag
                if text not in self._world.ledger.results(key) or not text.startswith(tag):
                    self._world.violated(f"a result comes from a run of what was asked: {key} {text}, asked {tag}")
            case history.ActivityFailed(failure=failed), history.ScheduleActivity(retry=policy):
                if failed.attempts > policy.max_attempts and failed.type != "ActivityPoisonError":
                    self._world.violated(f"I10: attempts are counted: {key} {failed}")
            case _:
                pass

    def _signals(self, row: asyncpg.Record, turns: Sequence[history.Turn]) -> None:
        """A signal comes in once, in the order in which it was sent, and is not lost while its instance lives."""
        events = [event for turn in turns for event in turn.events if isinstance(event, history.SignalReceived)]
        ends = [command for turn in turns for command in turn.commands if isinstance(command, history.ContinueAsNew)]
        texts = _texts(events)
        texts.subtract(_texts([signal for end in ends for signal in end.carried]))  # which come again in the next
        removed = self._world.ledger.was_removed  # whose next life sends the same again
        if twice := [text for text, count in texts.items() if count > 1 and not removed(text.partition(" ")[0])]:
            self._world.violated(f"a signal comes in once: {row['instance_id']}: {twice}")
        letters = [letter for letter in self._world.ledger.letters if letter.instance_id == row["instance_id"]]
        for letter in letters:
            if letter.told_at is None or row["finished_at"] is None or letter.text in texts:
                continue
            if row["finished_at"] > max(letter.told_at, self._world.calm_since) + _DELIVERED_WITHIN:
                self._world.violated(f"no signal is lost: {letter} to {row['instance_id']}")

    def _replay(self, row: asyncpg.Record, number: int, turns: Sequence[history.Turn]) -> None:
        """The code that wrote a history asks for the same again, and comes to the same end (I6)."""
        registry = self._world.orchestrations
        definition = registry.find_or_none(row["name"], row["version"]) or registry.latest_or_none(row["name"])
        assert definition is not None, row
        execution = replay.Execution(definition, replay.Identity(row["instance_id"], number))
        try:
            for turn in turns:
                execution.replay(turn)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self._world.violated(f"I6: replay yields the same commands: {row['instance_id']}/{number}: {error}")
        outcome = execution.outcome
        execution.close()
        is_last = number == row["execution"]
        if is_last and row["finished_at"] is not None:
            found = (lifecycle.phase_after(outcome), lifecycle.output_of(outcome))
            if found != (row["phase"], row["output"]):
                self._world.violated(f"I6: replay comes to the same end: {row['instance_id']}: {found}, {dict(row)}")
        elif (outcome is not None) != (not is_last):
            self._world.violated(f"an execution goes on as long as it is the last: {row['instance_id']}/{number}")

    def _look(self, sql: str, *arguments: object, now: datetime.datetime | None = None) -> list[asyncpg.Record]:
        return self._world.database.look(sql, *arguments, now=now)


def _may_follow(first: history.Event, second: history.Event, command: history.Command) -> bool:
    """Say whether a second result may stand in history, where nobody waits for it any more.

    That of an activity may, as the same again: who kept it for an instance that pauses kept it twice when the answer
    was lost. And of a queue the result may meet the timeout. The end of a child and a timer come once.
    """
    is_queued = isinstance(command, history.ScheduleActivity) and command.queue != ""
    is_same = isinstance(command, history.ScheduleActivity) and (
        history.encode_event(first) == history.encode_event(second)
    )
    return is_same or (is_queued and (_is_timeout(first) or _is_timeout(second)))


def _is_timeout(event: history.Event) -> bool:
    return isinstance(event, history.ActivityFailed) and event.failure.code == errors.ActivityTimeoutError.code


def _texts(signals: Sequence[history.SignalReceived]) -> collections.Counter[str]:
    return collections.Counter(str(json.loads(bytes(signal.payload))) for signal in signals)
