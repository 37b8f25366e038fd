"""OrchestrationSignals as a kind that the controller follows: sights in, messages to runs out, statuses shown.

It puts the parts together and does none of their work: `signal_sights` reads, `ingest` queues, `signal_delivery` sends,
`signal_showing` shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from perdure._core.activity import Manifest
from perdure._kube import ingest, kinds, metrics, signal_sights
from perdure._kube.api import orchestration_signal
from perdure._kube.client import Api
from perdure._kube.identity import Identities
from perdure._kube.signal_delivery import Delivery
from perdure._kube.signal_showing import Showing
from perdure._kube.status_writer import OnWritten, StatusWriter
from perdure._store.resources import Known, News
from perdure._store.signal_resources import SeenSignal, SignalResources, Waiting
from perdure._store.store import Store

__all__ = ["Signals"]


class Signals:
    """What the controller has to do with signals; an `Intake`."""

    def __init__(
        self,
        store: Store,
        api: Api,
        *,
        identities: Identities,
        writer: StatusWriter,
        namespaces: Sequence[str],
        on_written: OnWritten,
    ) -> None:
        self._table = SignalResources(store.pool, store.sealing)
        self._namespaces = list(namespaces)
        availability = store.availability
        self._showing = Showing(
            self._table,
            api,
            writer=writer,
            availability=availability,
            on_missing=lambda uid, namespace, name: self.gone(uid, namespace=namespace, name=name),
            on_written=on_written,
        )
        self._delivery = Delivery(self._table, identities, availability=availability, on_decided=self._showing.news)
        self._queue: ingest.Ingest[SeenSignal, Waiting] = ingest.Ingest(
            self._table, availability=availability, on_news=self._delivery.arrived
        )

    def kind(self) -> kinds.Kind:
        """Give the kind, with the loops that deliver and show."""
        return kinds.Kind(
            orchestration_signal.KIND,
            orchestration_signal.PLURAL,
            self,
            loops=(
                ("ingest signals", self._queue.run),
                ("deliver signals", lambda: self._delivery.run(self._namespaces)),
                ("show signals", lambda: self._showing.run(self._namespaces)),
            ),
        )

    def runs_changed(self, news: Sequence[News]) -> None:
        """Take in what ingest has changed of Orchestrations: somebody may wait for a run that has begun."""
        begun = {one.instance_id for one in news if one.starts and one.instance_id is not None}
        if begun:
            self._delivery.begun(begun)

    def heard(self) -> None:
        """A run has begun or ended somewhere."""
        self._delivery.heard()

    def readings(self) -> Iterator[metrics.Reading]:
        """Give what is counted here."""
        yield "signals_delivered_total", "Signals of resources delivered to a run.", self._delivery.delivered
        yield "signals_backlog", "Signals of resources that are about to be delivered.", self._delivery.backlog
        yield "signal_status_writes_total", "Statuses of signals written to the API server.", self._showing.writes

    # --- an Intake ---------------------------------------------------------------------------------------------------

    def seen(self, manifest: Manifest, *, instead_of: int | None = None) -> None:
        """Take in a resource."""
        self._queue.add(dataclasses.replace(signal_sights.seen(manifest), instead_of=instead_of))

    def gone(self, uid: UUID, *, namespace: str, name: str) -> None:
        """Take in the end of a resource."""
        self._queue.add(signal_sights.gone(uid, namespace=namespace, name=name))

    async def known(self, namespaces: Sequence[str]) -> Mapping[UUID, Known]:
        """Give what the database believes to live."""
        return await self._table.known(namespaces)

    async def restored(self, _: Mapping[UUID, int]) -> Mapping[UUID, Known]:
        """Give none: what is gone stays gone, and no status is compared with its resource."""
        return {}

    async def wait_idle(self) -> None:
        """Return when everything that was told is in the database."""
        await self._queue.wait_idle()

    async def forget(self) -> None:
        """Forget what has been gone for long."""
        await self._table.forget(older_than_seconds=kinds.FORGET_SECONDS)
