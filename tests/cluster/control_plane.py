"""etcd, the API server and the controller manager on loopback, as children of this process.

The flags and the order come from measurement. Each child gets SIGKILL when its parent ends, however that ends (an
API server whose etcd is gone ignores SIGTERM for minutes); on an orderly stop they go in the reverse of their
dependence. Nothing listens anywhere but on 127.0.0.1. This module knows neither pytest nor who asked for a cluster.
"""

import asyncio
import base64
import ctypes
import json
import random
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp

from tests.cluster import certificates
from tests.cluster.errors import ProgramFailedError

HOST = "127.0.0.1"
READY_SECONDS = 120
"""Far above the 4 s of a quiet machine: a loaded one must not fail a test run."""
STOP_SECONDS = 15
POLL_SECONDS = 0.05
PORTS = range(20000, 30000)
"""Below the range that the kernel hands to outgoing connections, so that a port stays free while its owner restarts."""
PR_SET_PDEATHSIG = 1

SERVICE_ADDRESSES = "10.96.0.0/16"
SERVICE_OF_THE_SERVER = "10.96.0.1"

AUDITED_NAMESPACE = "perdure-audited"
"""What the ServiceAccounts of this namespace ask the API server is written down, and nothing else."""
AUDIT_LOG = "audit.log"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{AUDITED_NAMESPACE}"]},
        {"level": "None"},
    ],
}

WITHOUT_A_CLOUD = (
    "*,-service-lb-controller,-node-route-controller,-cloud-node-lifecycle-controller,-node-ipam-controller"
)


class Child:
    """A program that runs beside us, with its output in a log file."""

    def __init__(self, program: Path, arguments: list[str], log: Path) -> None:
        """Remember what to run; nothing is started yet."""
        self.name = program.name
        self._command = [str(program), *arguments]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program; its log is appended to, so that a restart keeps what came before."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent
            )

    def check(self) -> None:
        """Raise `ProgramFailedError` with the end of its log when the program has ended."""
        if self._process is not None and self._process.returncode is not None:
            raise ProgramFailedError(
                f"{self.name} ended with {self._process.returncode}; {self._log} ends with:\n{self._tail()}"
            )

    async def end(self, how: signal.Signals) -> None:
        """Send the signal and wait for the end; what has not ended after `STOP_SECONDS` is killed."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


class ControlPlane:
    """One API server with its store and its controllers; everything it needs and writes is in one folder."""

    def __init__(self, folder: Path, programs: Mapping[str, Path]) -> None:
        """Write certificates and kubeconfigs into `folder`, which must be empty or absent."""
        self._folder = folder
        self._data, self._backup = folder / "etcd", folder / "etcd-backup"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self._ports = dict(zip(("etcd", "etcd-peer", "server", "controllers"), free_ports(4), strict=True))
        self.url = f"https://{HOST}:{self._ports['server']}"
        self._authority = certificates.Authority()
        self._write_certificates()
        self.kubeconfig = self._write_kubeconfig("admin", groups=("system:masters",))
        self._etcd = self._child(programs["etcd"], self._etcd_flags())
        self._server = self._child(programs["kube-apiserver"], self._server_flags())
        self._controllers = self._child(programs["kube-controller-manager"], self._controller_flags())

    async def start(self) -> None:
        """Start all and return when pods can be made: `/readyz` is ok and the default ServiceAccount exists."""
        await self._etcd.start()
        await self.start_server()
        await self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    async def stop(self) -> None:
        """Stop all in order and drop the data; the logs stay."""
        for child in (self._controllers, self._server, self._etcd):
            await child.end(signal.SIGTERM)
        for folder in (self._data, self._backup):
            shutil.rmtree(folder, ignore_errors=True)

    async def start_server(self) -> None:
        """Start the API server on its port and its store, and then its controllers; return when the server is ready."""
        await self._server.start()
        await self._wait_for("/readyz")
        await self._controllers.start()

    async def kill_server(self) -> None:
        """End the API server as a crash would, by SIGKILL; its controllers too.

        Controllers that lived on would look for it again after ever longer pauses, up to 15 s after it is back.
        """
        for child in (self._controllers, self._server):
            await child.end(signal.SIGKILL)

    async def back_up(self) -> None:
        """Copy the store as it is now; etcd stops for that moment, and the API server waits for it."""
        await self._etcd.end(signal.SIGTERM)
        shutil.rmtree(self._backup, ignore_errors=True)
        shutil.copytree(self._data, self._backup)
        await self._etcd.start()
        await self._wait_for("/readyz")

    async def restore(self) -> None:
        """Put the copy in the place of the store, which is used up by that; all else is killed and started again."""
        await self.kill_server()
        await self._etcd.end(signal.SIGTERM)
        shutil.rmtree(self._data)
        self._backup.rename(self._data)
        await self._etcd.start()
        await self.start_server()

    def check(self) -> None:
        """Raise `ProgramFailedError` when one of the programs has ended by itself."""
        for child in (self._etcd, self._server, self._controllers):
            child.check()

    def session(self, user: str) -> aiohttp.ClientSession:
        """Return an HTTP session as a user with all rights, whose certificate is made on the spot."""
        certificate, key = self._write_pair(user, self._authority.client(user, ("system:masters",)))
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        context.load_cert_chain(certificate, key)
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context), trust_env=False)

    async def _wait_for(self, path: str) -> None:
        try:
            async with self.session("perdure:readiness") as session, asyncio.timeout(READY_SECONDS):
                while not await _is_found(session, path):
                    self.check()
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            logs = f"the logs are in {self._folder}"
            raise ProgramFailedError(f"no answer to {path} within {READY_SECONDS} s; {logs}") from None

    def _child(self, program: Path, flags: Mapping[str, str | int | Path]) -> Child:
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        return Child(program, arguments, self._folder / f"{program.name}.log")

    def _etcd_flags(self) -> dict[str, str | int | Path]:
        clients, peers = (f"http://{HOST}:{self._ports[name]}" for name in ("etcd", "etcd-peer"))
        return {
            "data-dir": self._data,
            "unsafe-no-fsync": "true",
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "log-level": "warn",
        }

    def _server_flags(self) -> dict[str, str | int | Path]:
        return {
            "etcd-servers": f"http://{HOST}:{self._ports['etcd']}",
            "bind-address": HOST,
            "secure-port": self._ports["server"],
            # without these two it advertises an address of the machine's network
            "advertise-address": HOST,
            "endpoint-reconciler-type": "none",
            "tls-cert-file": self._folder / "server.crt",
            "tls-private-key-file": self._folder / "server.key",
            "client-ca-file": self._folder / "ca.crt",
            # the default is AlwaysAllow
            "authorization-mode": "Node,RBAC",
            "allow-privileged": "true",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": self._folder / "service-accounts.key",
            "service-account-key-file": self._folder / "service-accounts.pub",
            "service-cluster-ip-range": SERVICE_ADDRESSES,
            "cert-dir": self._folder / "server-certificates",
            "audit-policy-file": self._write("audit-policy.yaml", json.dumps(AUDIT_POLICY).encode()),
            "audit-log-path": self._folder / AUDIT_LOG,
        }

    def _controller_flags(self) -> dict[str, str | int | Path]:
        return {
            "kubeconfig": self._write_kubeconfig("system:kube-controller-manager"),
            "service-account-private-key-file": self._folder / "service-accounts.key",
            "root-ca-file": self._folder / "ca.crt",
            "use-service-account-credentials": "true",
            # with the default of 20 it needs 5 s only for the tokens of its own controllers
            "kube-api-qps": 1000,
            "kube-api-burst": 2000,
            "leader-elect": "false",
            "bind-address": HOST,
            "secure-port": self._ports["controllers"],
            "cert-dir": self._folder / "controllers-certificates",
            "controllers": WITHOUT_A_CLOUD,
        }

    def _write_certificates(self) -> None:
        self._write("ca.crt", self._authority.certificate)
        hosts = ["localhost", "kubernetes.default.svc", HOST, SERVICE_OF_THE_SERVER]
        self._write_pair("server", self._authority.server("kube-apiserver", hosts))
        private, public = certificates.service_account_keys()
        self._write("service-accounts.key", private)
        self._write("service-accounts.pub", public)

    def _write_pair(self, name: str, pair: certificates.Pair) -> tuple[Path, Path]:
        base = name.replace(":", "-")
        return self._write(f"{base}.crt", pair.certificate), self._write(f"{base}.key", pair.key)

    def _write_kubeconfig(self, user: str, *, groups: tuple[str, ...] = ()) -> Path:
        pair = self._authority.client(user, groups)
        embedded = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "local",
                    "cluster": {"server": self.url, "certificate-authority-data": _base64(self._authority.certificate)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _base64(pair.certificate),
                        "client-key-data": _base64(pair.key),
                    },
                }
            ],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user, "namespace": "default"}}],
            "current-context": "local",
        }
        # JSON is YAML, and needs no library to write
        return self._write(f"{user.replace(':', '-')}.kubeconfig", json.dumps(embedded, indent=2).encode())

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at this moment, all different."""
    ports: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ProgramFailedError(f"no {count} free ports between {PORTS.start} and {PORTS.stop} on {HOST}")


async def _is_found(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session.get(path) as answer:
            return answer.status == HTTPStatus.OK
    except aiohttp.ClientError:
        return False  # not listening yet: the same as not ready


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _die_with_parent() -> None:
    # runs in the child between fork and exec; only Linux has it, elsewhere an orderly stop must do
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
