"""What must not be said: values of Secrets in what activities return, passwords in what they raise.

Pure functions of the activities that handle Secrets; the whole way through history is tested with a real cluster.
"""

from __future__ import annotations

import pytest

from activities.kubernetes import get
from activities.postgres import connection, manifests
from perdure import Manifest, errors


def test_a_secret_that_is_read_shows_its_keys_and_no_values() -> None:
    """What an activity returns is in history for ever; so neither data nor the copy in the annotation is in it."""
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "pg",
            "annotations": {get.LAST_APPLIED: '{"data": {"password": "aHVudGVyMg=="}}', "team": "shop"},
            "managedFields": [{"manager": "kubectl"}],
        },
        "data": {"username": "cGc=", "password": "aHVudGVyMg=="},
    }

    shown = get.presentable(secret)

    assert shown["data"] == {"username": "", "password": ""}
    assert shown["metadata"] == {"name": "pg", "annotations": {"team": "shop"}}


def test_other_objects_are_shown_as_they_are() -> None:
    """Only Secrets are hidden."""
    config: Manifest = {"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"sky": "blue"}}

    assert get.presentable(config) == config


def test_credentials_are_read_as_they_were_written() -> None:
    """The Secret that one activity makes is the Secret that another one reads."""
    assert connection.credentials_of(manifests.credentials("pg", "pässword"), "pg") == ("postgres", "pässword")


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        (None, "There is no Secret pg-credentials"),
        ({"data": {"username": "cGc="}}, "has no password"),
        ({"data": {"password": "cGc="}}, "has no username"),
        ({"data": {"username": "cGc=", "password": "%%%"}}, "no text in base64"),
        ({}, "has no username"),
    ],
    ids=str,
)
def test_a_secret_without_credentials_is_refused_for_good(secret: Manifest | None, complaint: str) -> None:
    """Trying again does not bring a password; the error says what is missing and not what is there."""
    with pytest.raises(errors.CredentialsError, match=complaint) as caught:
        connection.credentials_of(secret, "pg-credentials")

    assert not caught.value.retryable
    assert "%%%" not in str(caught.value)
