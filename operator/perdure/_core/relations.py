"""What an orchestration has to do with others: signals, children, detached instances, and its own next execution.

One half of the context, in a module of its own since it is a subject of its own. Like the other half it turns calls
into commands and futures and knows nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Never, TypeVar, cast, overload

import msgspec

from perdure import errors
from perdure._core import definition, futures, history, identifiers
from perdure._core import payload as payloads
from perdure._core import retry as retries
from perdure._core.definition import OrchestrationDefinition

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type

    from perdure._core.replay import Execution

__all__ = ["Relations", "child_id"]

I = TypeVar("I")  # noqa: E741 - I and O are read as input and output
O = TypeVar("O")  # noqa: E741 - see above
T = TypeVar("T")
Named = OrchestrationDefinition[Never, object] | str


def child_id(parent_id: str, execution: int, seq: int) -> str:
    """Give the id of a child that was given none: it follows from who asked, and is the same on every replay."""
    return f"{parent_id}::sub::{execution}.{seq}"


class Relations:
    """The calls that reach other instances, or the next execution of this one."""

    __slots__ = ()

    def _open(self) -> Execution:
        raise NotImplementedError

    def random(self, name: str) -> Random:
        """Give a stream of chance; see `OrchestrationContext.random`."""
        raise NotImplementedError

    @overload
    def schedule_wait(self, signal: str) -> futures.DurableFuture[payloads.JsonValue]: ...
    @overload
    def schedule_wait(self, signal: str, type: type[T]) -> futures.DurableFuture[T]: ...

    def schedule_wait(self, signal: str, type: object = object) -> futures.DurableFuture[object]:
        """Wait for the next signal of this name; awaiting gives its payload, read as `type`.

        Signals of a name are kept in the order in which they came, also those that came before anybody waited, and each
        ends one wait. A payload that does not fit `type` raises `InputInvalidError` at the await.
        """
        execution = self._open()
        command = history.WaitForSignal(execution.next_seq(), identifiers.check_signal_name(signal))
        return execution.wait(command, payloads.decoder(type, f"payload of signal {signal}"))

    def send_signal(self, instance_id: str, signal: str, payload: object = None) -> None:
        """Send a signal to another instance, once, after this turn is committed.

        It is not waited for: an instance that is not there or has ended does not get it. Raises `SignalsFullError` when
        the instance has too many that it did not wait for; then nothing of this turn was sent to it.
        """
        execution = self._open()
        execution.check_room(identifiers.check_instance_id(instance_id))
        command = history.SendSignal(
            execution.next_seq(),
            instance_id,
            identifiers.check_signal_name(signal),
            msgspec.Raw(payloads.encode(payload, f"payload of signal {signal}")),
        )
        execution.say(command)

    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: OrchestrationDefinition[I, O],
        input: I = ...,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        retry: retries.RetryPolicy | None = None,
    ) -> futures.DurableFuture[O]: ...
    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: str,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        retry: retries.RetryPolicy | None = None,
        returns: type[O],
    ) -> futures.DurableFuture[O]: ...
    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: str,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        retry: retries.RetryPolicy | None = None,
    ) -> futures.DurableFuture[payloads.JsonValue]: ...

    def schedule_sub_orchestration(
        self,
        orchestration: Named,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        retry: retries.RetryPolicy | None = None,
        returns: object = object,
    ) -> futures.DurableFuture[object]:
        """Run another orchestration as a child; awaiting gives its output, typed by its annotation (or by `returns`).

        Without a version the child takes the highest, also where a definition is given. Without an id it gets one that
        follows from this instance. Awaiting raises `ChildOrchestrationError` when the child failed, was cancelled, or
        when its id is taken. Who is cancelled or gives up waiting cancels the child. With a retry policy a child that
        failed is run again as a new instance (`ID~2`, `ID~3`, ... of a given id); the policy's timeout bounds each.
        """
        execution = self._open()
        name, chosen, output_type = _target(orchestration, version, returns)
        encoded = msgspec.Raw(payloads.encode(input, f"input of sub-orchestration {name}"))
        asked = history.ScheduleSubOrchestration(0, name, encoded, instance_id or "", chosen)
        if instance_id is not None:
            identifiers.check_instance_id(instance_id)
        if retry is None:
            return self._ask_child(asked, output_type)[1]
        return execution.scheduler.spawn(self._retry_child(asked, output_type, retries.recorded(retry, name)))

    def schedule_orchestration(
        self, orchestration: Named, instance_id: str, input: object = None, *, version: str | None = None
    ) -> None:
        """Start an instance that goes its own way, once, after this turn is committed.

        An id that is taken is left alone. It acts as the same Kubernetes user as this one. It is neither waited for nor
        cancelled with it.
        """
        execution = self._open()
        name, chosen, _ = _target(orchestration, version, object)
        command = history.StartOrchestration(
            execution.next_seq(),
            name,
            msgspec.Raw(payloads.encode(input, f"input of {name}")),
            identifiers.check_instance_id(instance_id),
            chosen,
        )
        execution.say(command)

    def continue_as_new(self, input: object = None, *, version: str | None = None) -> Never:
        """End this execution here and begin the next with `input` and an empty history. Never returns.

        The next one takes the highest version, unless told which. Signals nobody waited for and the custom status go
        along; children that still run are cancelled.
        """
        execution = self._open()
        chosen = version or ""
        if chosen:
            definition.parse_version(execution.definition.name, chosen)
        data = payloads.encode(input, f"input of the next execution of {execution.definition.name}")
        execution.continue_as_new(history.ContinueAsNew(msgspec.Raw(data), chosen))
        raise errors.OrchestrationContinued

    def _ask_child(
        self, asked: history.ScheduleSubOrchestration, output_type: object
    ) -> tuple[history.ScheduleSubOrchestration, futures.DurableFuture[object]]:
        execution = self._open()
        seq, identity = execution.next_seq(), execution.identity
        instance_id = asked.instance_id or child_id(identity.instance_id, identity.execution, seq)
        identifiers.check_instance_id(instance_id)
        command = msgspec.structs.replace(asked, seq=seq, instance_id=instance_id)
        return command, execution.ask(command, payloads.decoder(output_type, f"output of child {instance_id}"))

    async def _retry_child(
        self, asked: history.ScheduleSubOrchestration, output_type: object, recorded: retries.Retry
    ) -> object:
        for attempt in range(1, recorded.max_attempts + 1):
            suffix = f"~{attempt}" if asked.instance_id and attempt > 1 else ""
            command, child = self._ask_child(
                msgspec.structs.replace(asked, instance_id=f"{asked.instance_id}{suffix}"), output_type
            )
            try:
                return await self._within(recorded.timeout, command, child)
            except errors.ChildOrchestrationError as error:
                if attempt == recorded.max_attempts or not error.retryable:
                    raise
            draw = self.random("perdure.retry").random()
            await self._timer(retries.delay_seconds(recorded, attempt, draw=draw))
        raise AssertionError  # a policy has one attempt or more

    async def _within(
        self,
        seconds: float | None,
        command: history.ScheduleSubOrchestration,
        child: futures.DurableFuture[object],
    ) -> object:
        if seconds is None:
            return await child
        scheduler = self._open().scheduler
        timer = cast("futures.DurableFuture[object]", self._timer(seconds))
        index, output = await futures.Select(scheduler, [child, timer])
        if index == 0:
            return output
        raise errors.ChildOrchestrationError(
            f"no end within {seconds:g} s", type="TimeoutError", name=command.name, instance_id=command.instance_id
        )

    def _timer(self, seconds: float) -> futures.DurableFuture[None]:
        execution = self._open()
        return cast("futures.DurableFuture[None]", execution.ask(execution.timer(seconds), None))


def _target(orchestration: Named, version: str | None, returns: object) -> tuple[str, str, object]:
    """Give name, version ('' for the highest) and output type of what is to be started."""
    if isinstance(orchestration, OrchestrationDefinition):
        name, output_type = orchestration.name, orchestration.signature.output_type if returns is object else returns
    else:
        name, output_type = definition.check_name(orchestration), returns
    if version:
        definition.parse_version(name, version)
    return name, version or "", output_type
