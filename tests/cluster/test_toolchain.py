"""The Go programs are built once, whole or not at all, whoever asks and whatever was interrupted.

A tiny module without dependencies stands for Kubernetes: the compiler is the real one, the network is not needed.
"""

import io
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.errors import ProgramFailedError
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE, PROGRAMS, Program, Toolchain, cache_folder, machines_go_or_none

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(machines_go_or_none((1, 26)) is None, reason="no new Go on $PATH; the packaged one is large"),
]

HELLO = Program("hello", "hello", "example.invalid/versioned", "example.invalid/hello", 0.1)
GO_MOD = """module example.invalid/hello

go 1.26.0

require example.invalid/versioned v1.2.3

replace example.invalid/versioned v1.2.3 => ./versioned
"""
MAIN = 'package main\n\nfunc main() { print("hello") }\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give the folder of a module that takes its version from a requirement, as ours do."""
    module = tmp_path / "go" / "hello"
    (module / "versioned").mkdir(parents=True)
    (module / "go.mod").write_text(GO_MOD)
    (module / "versioned" / "go.mod").write_text("module example.invalid/versioned\n\ngo 1.26.0\n")
    (module / "main.go").write_text(MAIN)
    return tmp_path / "go"


def ensure(root: Path, said: io.StringIO) -> Path:
    """Ask for the program as a new process would, and keep what the terminal would show."""
    toolchain = Toolchain(root.parent / "cache", root=root, programs={"hello": HELLO})
    return toolchain.ensure(("hello",), Progress(said))["hello"]


def test_a_program_is_built_below_its_version_and_only_once(root: Path) -> None:
    """The first call builds and shows it, the second one finds the program and says nothing."""
    first, second = io.StringIO(), io.StringIO()

    path = ensure(root, first)
    again = ensure(root, second)

    assert subprocess.run([path], capture_output=True, check=True, text=True).stderr == "hello"
    assert path.parent.name == "hello-v1.2.3"
    assert first.getvalue().startswith("building hello 1.2.3 (1 of 1), about 6 s with empty caches ...\n")
    assert (again, second.getvalue()) == (path, "")


def test_an_interrupted_build_is_done_again(root: Path) -> None:
    """What a killed build left is neither taken for the program nor in its way."""
    unfinished = root.parent / "cache" / "bin" / "hello-v1.2.3" / ".hello.unfinished"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_text("half a program")

    path = ensure(root, io.StringIO())

    assert subprocess.run([path], capture_output=True, check=True, text=True).stderr == "hello"
    assert not unfinished.exists()


def test_two_who_ask_at_once_build_once(root: Path) -> None:
    """The second waits for the first, and takes what it built."""
    said = [io.StringIO(), io.StringIO()]

    with ThreadPoolExecutor(2) as threads:
        paths = list(threads.map(lambda stream: ensure(root, stream), said))

    assert paths[0] == paths[1]
    assert sum("building hello" in stream.getvalue() for stream in said) == 1


def test_a_build_that_fails_shows_the_compilers_words_and_leaves_no_program(root: Path) -> None:
    """The error carries the end of the compiler's output; nothing half-built can be found afterwards."""
    (root / "hello" / "main.go").write_text(MAIN.replace("print", "imprint"))

    with pytest.raises(ProgramFailedError, match="undefined: imprint"):
        ensure(root, io.StringIO())

    assert not list((root.parent / "cache" / "bin").glob("*/hello"))


def test_every_program_has_a_version_and_a_place_below_it() -> None:
    """The versions come from the committed go.mod files, and Kubernetes is told its own."""
    toolchain = Toolchain(cache_folder({"PERDURE_CACHE": "/cache"}))

    assert toolchain.path("kube-apiserver") == Path("/cache/bin/kubernetes-v1.36.3/kube-apiserver")
    assert toolchain.path("etcd") == Path("/cache/bin/etcd-v3.7.3/etcd")
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in PROGRAMS["kubectl"].linker_flags()
    assert PROGRAMS["etcd"].oldest_go() == (1, 26, 0)
    assert set(CONTROL_PLANE) < set(PROGRAMS)


def test_a_go_that_is_too_old_is_not_taken() -> None:
    """Each go.mod says how old it may be; the machine's is taken up to that."""
    assert machines_go_or_none((1, 26)) is not None
    assert machines_go_or_none((99, 0)) is None
