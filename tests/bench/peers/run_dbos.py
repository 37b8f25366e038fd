"""DBOS: workflows in a library over threads. Async workflows started directly, sixteen at once, one pool of twenty."""

from __future__ import annotations

import asyncio

from dbos import DBOS, DBOSConfig, SetWorkflowID

from tests.bench.peers import measure

_RESULT = {"number": 1, "text": "x" * 110}
_TOPIC = "go"


class Dbos:
    """The library in this process."""

    in_flight = 16

    def __init__(self, dsn: str, watch: measure.Watch) -> None:
        url = dsn.replace("postgresql://", "postgresql+psycopg://", 1)
        DBOS(
            config=DBOSConfig(
                name="bench",
                system_database_url=url,
                sys_db_pool_size=20,
                max_executor_threads=4,
                log_level="ERROR",
                application_version="1",
                executor_id="bench",
            )
        )
        step = DBOS.step(name="step")(_step)

        async def chain(instance_id: str, number: int) -> None:
            for _ in range(number):
                await step()
            watch.tell(f"ended {instance_id}")

        async def fan_out(instance_id: str, number: int) -> None:
            await asyncio.gather(*(step() for _ in range(number)))
            watch.tell(f"ended {instance_id}")

        async def sleep(instance_id: str, number: int) -> None:
            await DBOS.sleep_async(float(number))
            watch.tell(f"ended {instance_id}")

        async def signalled(instance_id: str, number: int) -> None:
            watch.tell(f"begun {instance_id}")
            await DBOS.recv_async(_TOPIC, timeout_seconds=300)
            watch.tell(f"ended {instance_id}")

        kinds = {"chain": chain, "fan-out": fan_out, "sleep": sleep, "signalled": signalled}
        self._kinds = {name: DBOS.workflow(name=name)(function) for name, function in kinds.items()}
        DBOS.launch()

    async def start(self, kind: str, instance_id: str, number: int) -> None:
        """Start an instance."""
        with SetWorkflowID(instance_id):
            await DBOS.start_workflow_async(self._kinds[kind], instance_id, number)

    async def signal(self, instance_id: str) -> None:
        """Send the message that one instance waits for."""
        await DBOS.send_async(instance_id, {"go": True}, _TOPIC)


async def _step() -> dict[str, object]:
    return _RESULT


async def peer(dsn: str, watch: measure.Watch) -> measure.Peer:
    """Give it at work."""
    return Dbos(dsn, watch)


if __name__ == "__main__":
    measure.main(peer)
