"""The objects of a Postgres server: what the API server and the Pod Security Standards will ask of them.

Read as data. That a real API server takes them, and that a real Postgres starts from them, is tested elsewhere.
"""

from __future__ import annotations

import base64
import json

from activities.kubernetes import fields
from activities.postgres import manifests
from perdure import Manifest

SERVICE = manifests.service("pg")
STATEFUL_SET = manifests.stateful_set("pg", "16.2", storage="5Gi")
POD = fields.mapping(STATEFUL_SET, "spec", "template", "spec")


def container() -> Manifest:
    """Give the one container."""
    [only] = fields.items(POD, "containers")
    return only


def test_the_objects_have_the_names_that_people_look_for() -> None:
    """Service and StatefulSet bear the name that was asked for, the Secret says what it is for."""
    named = [fields.text(each, "metadata", "name") for each in (SERVICE, STATEFUL_SET, manifests.credentials("pg", ""))]

    assert named == ["pg", "pg", "pg-credentials"]
    assert manifests.host("pg", "shop") == "pg.shop.svc"


def test_the_secret_holds_user_and_password() -> None:
    """Both under the keys that Kubernetes has for them."""
    secret = manifests.credentials("pg", "correct horse")

    assert secret["type"] == "kubernetes.io/basic-auth"
    data = {key: base64.b64decode(str(value)).decode() for key, value in fields.mapping(secret, "data").items()}
    assert data == {"username": "postgres", "password": "correct horse"}


def test_the_password_reaches_the_server_as_a_file() -> None:
    """Neither the manifest nor the environment of the process holds the password: only the name of its Secret."""
    env = {fields.text(each, "name"): fields.text(each, "value") for each in fields.items(container(), "env")}
    mounts = {
        fields.text(each, "name"): fields.text(each, "mountPath") for each in fields.items(container(), "volumeMounts")
    }
    volumes = {
        fields.text(each, "name"): fields.text(each, "secret", "secretName") for each in fields.items(POD, "volumes")
    }

    assert "POSTGRES_PASSWORD" not in env
    assert env["POSTGRES_PASSWORD_FILE"] == f"{mounts['credentials']}/password"
    assert volumes["credentials"] == "pg-credentials"


def test_the_data_folder_is_below_the_mount() -> None:
    """A fresh volume may hold a `lost+found`, in which initdb would see somebody's data."""
    env = {fields.text(each, "name"): fields.text(each, "value") for each in fields.items(container(), "env")}
    mounts = {
        fields.text(each, "name"): fields.text(each, "mountPath") for each in fields.items(container(), "volumeMounts")
    }

    assert env["PGDATA"].startswith(f"{mounts['data']}/")


def test_the_volume_is_of_the_size_asked_for() -> None:
    """The claim is made from a template, so that it outlives the Pod."""
    [claim] = fields.items(STATEFUL_SET, "spec", "volumeClaimTemplates")

    assert fields.text(claim, "metadata", "name") == "data"
    assert fields.text(claim, "spec", "resources", "requests", "storage") == "5Gi"


def test_the_image_is_of_the_version_asked_for() -> None:
    """The version is the tag."""
    assert container()["image"] == "postgres:16.2"


def test_the_pod_fulfils_the_restricted_standard() -> None:
    """The checks of the `restricted` Pod Security Standard, one by one."""
    pod, own = fields.mapping(POD, "securityContext"), fields.mapping(container(), "securityContext")

    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == 999
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD)
    assert POD["automountServiceAccountToken"] is False


def test_the_container_has_probes_requests_and_limits() -> None:
    """The cluster knows when the server serves, when it is dead, and how much it may take."""
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert "pg_isready" in json.dumps(container()[name])
    resources = fields.mapping(container(), "resources")
    assert set(fields.mapping(resources, "requests")) == set(fields.mapping(resources, "limits")) == {"cpu", "memory"}


def test_the_selectors_find_the_pod() -> None:
    """Service and StatefulSet select by labels that the Pod has, and that no upgrade changes."""
    pod_labels = fields.mapping(STATEFUL_SET, "spec", "template", "metadata", "labels")

    assert fields.mapping(SERVICE, "spec", "selector") == pod_labels
    assert fields.mapping(STATEFUL_SET, "spec", "selector", "matchLabels") == pod_labels
    later = manifests.stateful_set("pg", "18", storage="1Gi")
    assert fields.mapping(later, "metadata", "labels") == fields.mapping(STATEFUL_SET, "metadata", "labels")


def test_a_plain_server_is_as_it_always_was() -> None:
    """A server of before settings, images and volumes could be chosen has the same Pod: nobody restarts for it."""
    [volume] = [each for each in fields.items(container(), "volumeMounts") if each["name"] == "data"]

    assert "args" not in container()
    assert volume["mountPath"] == "/var/lib/postgresql/data"
    assert fields.mapping(container(), "resources", "limits") == {"cpu": "1", "memory": "512Mi"}


def test_what_was_chosen_can_be_read_off_the_server() -> None:
    """Version, image, settings and volume of a StatefulSet are those that it was made of."""
    shape = manifests.Shape("data-v18", "mine:1", {"work_mem": "8MB", "search_path": "a=b"}, {"limits": {"cpu": "2"}})
    made = manifests.stateful_set("pg", "18.4", storage="2Gi", shape=shape)

    assert manifests.version_of(made) == "18.4"
    assert manifests.image_of(made) == "mine:1"
    assert manifests.parameters_of(made) == {"work_mem": "8MB", "search_path": "a=b"}
    assert manifests.volume_of(made) == ("data-v18", "2Gi")
    assert manifests.claim_name("pg", "data-v18") == "data-v18-pg-0"


def test_a_server_of_an_earlier_release_says_its_version_by_its_image() -> None:
    """The annotation is younger than servers that run."""
    made = fields.merged(STATEFUL_SET, {"metadata": {"annotations": None}})

    assert manifests.version_of(made) == "16.2"


def test_the_service_may_have_a_name_of_its_own() -> None:
    """It leads to the same Pod."""
    named = manifests.service("pg", "orders-db")

    assert fields.text(named, "metadata", "name") == "orders-db"
    assert named["spec"] == SERVICE["spec"]
