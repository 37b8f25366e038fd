"""What a comparison finds, of values alone."""

from __future__ import annotations

from uuid import UUID

from perdure._kube.sweep import older_than
from perdure._store.resources import Known


def test_a_resource_is_older_than_known_below_the_version_of_its_last_status() -> None:
    """Equal is what was written; one that was never shown, or is not listed, is not older than anything."""
    older, same, newer, unshown, missing = (UUID(int=number) for number in range(5))
    listed = {uid: {"resourceVersion": "9"} for uid in (older, same, newer, unshown)}
    versions = {older: 10, same: 9, newer: 8, unshown: 0, missing: 10}
    known = {uid: Known("shop", "db", 1, deleting=False, resource_version=each) for uid, each in versions.items()}

    assert older_than(listed, known) == [older]
