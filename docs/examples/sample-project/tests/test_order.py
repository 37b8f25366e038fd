"""The order in virtual time, and its activity with a stand-in for the API server."""

import pytest

from perdure import NonRetryableError
from perdure.testing import activity_context, simulate
from shop.activities import pack
from shop.order import order
from shop.types import OrderInput, Parcel, Shipment

LAMP = Parcel(name="a-1-1", item="lamp")


class Cluster:
    """The ConfigMaps of a namespace, by name."""

    def __init__(self, made=()):
        self.made = dict(made)

    async def create(self, manifest, *, field_manager):
        """Make one, unless there is one of that name."""
        name = manifest["metadata"]["name"]
        return None if name in self.made else self.made.setdefault(name, manifest)

    async def get(self, api_version, kind, name):
        """Give one."""
        return self.made.get(name)


def test_every_item_gets_its_parcel_one_after_the_other():
    """Two items of a minute each take two minutes, and no time at all."""
    ordered = OrderInput(number="a-1", items=["lamp", "chair"], pace=60)

    run = simulate(order, ordered, activities={pack: lambda _, parcel: parcel.name})

    assert run.output == Shipment(parcels=["a-1-1", "a-1-2"])
    assert run.elapsed == 120


async def test_a_parcel_that_is_packed_twice_is_one_parcel():
    """An activity may be run again, and finds what it has made."""
    cluster = Cluster()
    ctx = activity_context(kubernetes=cluster)

    assert [await pack(ctx, LAMP), await pack(ctx, LAMP)] == ["a-1-1", "a-1-1"]
    assert list(cluster.made) == ["a-1-1"]


async def test_the_parcel_of_somebody_else_is_left_alone():
    """A name that is taken ends the activity; trying again would not help."""
    cluster = Cluster({"a-1-1": {"data": {"order": "another", "item": "lamp"}}})

    with pytest.raises(NonRetryableError, match="belongs to somebody else"):
        await pack(activity_context(kubernetes=cluster), LAMP)
