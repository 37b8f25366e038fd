"""What people write, and what goes from step to step."""

from pydantic import BaseModel, Field


class OrderInput(BaseModel, extra="forbid"):
    """What somebody has ordered, and the seconds that a parcel takes."""

    number: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$")
    items: list[str] = Field(min_length=1, max_length=100)
    pace: float = Field(default=1, ge=0)


class Parcel(BaseModel):
    """A thing, and the name of the ConfigMap that stands for its parcel."""

    name: str
    item: str


class Shipment(BaseModel):
    """The parcels of an order."""

    parcels: list[str]
