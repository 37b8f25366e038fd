"""The image keeps its contract: who it runs as, what it may write, what it says without a database, what is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cluster import commands
from tests.cluster.errors import CommandFailedError
from tests.kind.shop import PROJECT
from tests.tree import ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "your-own-image.md"
DOCKERFILES = re.findall(r"^```dockerfile\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
LOCKED = (
    "docker",
    "run",
    "--rm",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


def test_it_runs_as_a_user_of_its_own_and_listens_to_the_outside(image: str) -> None:
    """The user is a number, so that a cluster can see that it is not root; the settings are those for a pod."""
    (found,) = json.loads(commands.run("docker", "image", "inspect", image))
    config = found["Config"]

    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] + config["Cmd"] == ["perdure", "run"]
    assert config["WorkingDir"] == "/app"
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert {"PERDURE_MODULES=workflows,activities", "PERDURE_HTTP_HOST=0.0.0.0", "PERDURE_LOG_FORMAT=json"} <= set(
        config["Env"]
    )


def test_its_user_can_write_nothing_but_temporary_files(image: str) -> None:
    """Even where the root file system is not read-only, no code in it can be changed."""
    search = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/dev/*' ! -path '/sys/*' 2>/dev/null || true"

    writable = commands.run("docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", search)

    assert set(writable.split()) <= {"/dev", "/tmp", "/var/tmp", "/run/lock"}


def test_without_a_database_it_ends_with_the_setting_that_is_missing(image: str) -> None:
    """There is no Postgres in it, and nowhere to keep its data."""
    with pytest.raises(CommandFailedError, match=r"PERDURE-1420.* Set PERDURE_DATABASE_URL"):
        commands.run(*LOCKED, image)


def test_both_commands_are_in_it(image: str) -> None:
    """The plugin of kubectl is the same program."""
    for command in ("perdure", "kubectl-perdure"):
        assert "replay-check" in commands.run(*LOCKED, f"--entrypoint={command}", image, "--help")


def test_a_user_of_another_number_can_run_it(image: str) -> None:
    """As on clusters that give each namespace a range of users."""
    said = commands.run(*LOCKED, "--user=1234567:0", "--entrypoint=python", image, "-c", "import perdure._kube.process")

    assert said == ""


def test_its_bill_of_materials_has_every_package_in_the_locked_version(image: str) -> None:
    """What `make sbom` lists is what was asked for by hash, Perdure itself, and the pip of the base."""
    commands.run("make", f"--directory={ROOT}", "sbom")
    bill = json.loads((ROOT / "dist" / "perdure.cdx.json").read_text())
    requirements = (ROOT / "requirements" / "runtime.txt").read_text()
    found = re.findall(r"^([\w.-]+)==(\S+) (.*)\\$", requirements, re.MULTILINE)
    locked = {normal(name): version for name, version, marker in found if "win32" not in marker or "!=" in marker}

    listed = {normal(one["name"]): one["version"] for one in bill["components"]}

    assert bill["bomFormat"] == "CycloneDX"
    assert {name: version for name, version in listed.items() if name not in {"perdure", "pip"}} == locked
    assert listed.keys() - locked.keys() == {"perdure", "pip"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda dockerfile: f"{len(dockerfile.splitlines())} lines")
def test_the_images_of_the_page_are_built_and_offer_the_shop(image: str, dockerfile: str, tmp_path: Path) -> None:
    """What a page tells to write makes an image whose worker finds the orchestration."""
    assert f"FROM {image}\n" in dockerfile
    (tmp_path / "Dockerfile").write_text(dockerfile)
    built = commands.run("docker", "build", "--quiet", f"--file={tmp_path / 'Dockerfile'}", PROJECT).strip()
    ask = (
        "import os; from perdure._engine import modules; "
        "print(modules.load(os.environ['PERDURE_MODULES'].split(','))[0].names())"
    )

    assert "shop::orchestration::order" in commands.run(*LOCKED, "--entrypoint=python", built, "-c", ask)


def normal(name: str) -> str:
    """Give the name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
