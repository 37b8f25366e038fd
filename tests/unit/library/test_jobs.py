"""The Jobs of backups as data: what a namespace asks of their Pods, and where the password is and is not."""

from __future__ import annotations

import json

import pytest

from activities.kubernetes import fields
from activities.postgres import jobs, manifests
from perdure import Manifest

TASK = jobs.Task(
    job="pg-backup-1", server="pg", image="postgres:16", host="pg.shop.svc", claim="nas", source="pg", backup="monday"
)
BOTH = [jobs.backup(TASK, keep=3), jobs.restore(TASK)]


def container(job: Manifest) -> Manifest:
    """Give the one container."""
    [only] = fields.items(job, "spec", "template", "spec", "containers")
    return only


@pytest.mark.parametrize("job", BOTH)
def test_a_job_fulfils_the_restricted_standard_and_writes_only_where_it_may(job: Manifest) -> None:
    """No root, no privileges, a root file system that is read only; a temporary folder in memory."""
    pod = fields.mapping(job, "spec", "template", "spec")
    security = fields.mapping(container(job), "securityContext")

    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert fields.mapping(pod, "securityContext")["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("job", BOTH)
def test_the_password_is_a_mounted_file_and_no_variable(job: Manifest) -> None:
    """No environment and no argument holds it; what the script reads is where the Secret is mounted."""
    env = {fields.text(each, "name"): fields.text(each, "value") for each in fields.items(container(job), "env")}
    mounts = {fields.text(each, "name"): each for each in fields.items(container(job), "volumeMounts")}
    volumes = {fields.text(each, "name"): each for each in fields.items(job, "spec", "template", "spec", "volumes")}

    assert env["SECRETS"] == mounts["credentials"]["mountPath"]
    assert fields.text(volumes["credentials"], "secret", "secretName") == "pg-credentials"
    assert "PGPASSWORD" not in json.dumps(job)
    assert "valueFrom" not in json.dumps(job)


@pytest.mark.parametrize("job", BOTH)
def test_no_service_leads_to_a_job(job: Manifest) -> None:
    """Its Pod has not the labels by which the server's Service finds the server."""
    labels = fields.mapping(job, "spec", "template", "metadata", "labels")

    assert not manifests.labels("pg").items() <= labels.items()
    assert fields.text(labels, "app.kubernetes.io/instance") == "pg"


@pytest.mark.parametrize("job", BOTH)
def test_a_job_is_of_the_servers_version_and_says_which_backup(job: Manifest) -> None:
    """The tools are those of the server; each server has a folder of its own in the claim."""
    env = {fields.text(each, "name"): fields.text(each, "value") for each in fields.items(container(job), "env")}
    volumes = {fields.text(each, "name"): each for each in fields.items(job, "spec", "template", "spec", "volumes")}

    assert container(job)["image"] == "postgres:16"
    assert (env["PGHOST"], env["BACKUP"], env["FOLDER"]) == ("pg.shop.svc", "monday", "/backups/pg")
    assert fields.text(volumes["backups"], "persistentVolumeClaim", "claimName") == "nas"


def test_the_claim_of_the_backups_outlives_the_server() -> None:
    """It has not the labels by which the objects of a server are found."""
    claim = jobs.claim("pg", "5Gi")

    assert fields.text(claim, "metadata", "name") == "pg-backups"
    assert not manifests.labels("pg").items() <= fields.mapping(claim, "metadata", "labels").items()
