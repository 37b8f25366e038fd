"""What can be set from outside: `PERDURE_*` environment variables, read once at start.

It knows names, types and bounds; it must not know what is done with them. A wrong or unknown variable is refused at the
door with its name, its value and what was expected, because a setting that is silently ignored is found at three in the
morning. Secrets are masked wherever settings are shown.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pydantic
import pydantic_core
import pydantic_settings
from pydantic import Field

from perdure import errors, passwords
from perdure._core import limits, queues
from perdure._core.codec import Codec, PlainCodec

__all__ = ["EventLevel", "Role", "Settings", "masked"]

Role = Literal["controller", "worker"]
EventLevel = Literal["all", "warnings", "off"]

_PREFIX = "PERDURE_"
_ELSEWHERE = re.compile(r"PERDURE_(TEST_\w+|CACHE)")
"""Variables of the test suite, which starts operators."""
_SERVICE_LINKS = re.compile(
    r"PERDURE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes puts into every pod beside a Service whose name begins with `perdure`."""


def _words(value: object) -> object:
    """Split a list as people write it in a variable."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


_SECRET_OPTION = re.compile(r"((?:^|&)(?:password|sslpassword)=)[^&]*")
_UNREADABLE = "(an address that cannot be read, not shown since it may hold a password)"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _namespaces(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what can be no namespace: watching it would wait for ever."""
    if wrong := [name for name in value if not _NAMESPACE.fullmatch(name)]:
        message = f"{', '.join(map(repr, wrong))}: no name of a namespace (a DNS label, as in team-a)"
        raise ValueError(message)
    return value


def _name(value: str) -> str:
    """Refuse what can be no name of a namespace or a Lease."""
    if not _NAMESPACE.fullmatch(value):
        message = "expected a DNS label, as in perdure-system"
        raise ValueError(message)
    return value


def _queues(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what can be no queue: nobody could ask for it."""
    try:
        return tuple(queues.check_name(name) for name in value)
    except errors.DefinitionError as error:
        raise ValueError(str(error)) from error


def _by_namespace(value: object) -> object:
    """Read a mapping as people write it in a variable: YAML, of which JSON is a part."""
    if not isinstance(value, str):
        return value
    import yaml  # noqa: PLC0415 - a library that most processes can do without

    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        read = None
    if not isinstance(read, dict):
        message = 'expected a mapping of namespaces to names, as in {"team-a": ["shop::orchestration::*"]}'
        raise ValueError(message)  # noqa: TRY004 - pydantic takes this one for a wrong value
    return read


def _keys_are_namespaces(value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    _namespaces(tuple(name for name in value if name != "*"))
    return value


Words = Annotated[tuple[str, ...], pydantic_settings.NoDecode, pydantic.BeforeValidator(_words)]
ByNamespace = Annotated[
    Mapping[str, tuple[str, ...]],
    pydantic_settings.NoDecode,
    pydantic.BeforeValidator(_by_namespace),
    pydantic.AfterValidator(_keys_are_namespaces),
]
Roles = Annotated[tuple[Role, ...], pydantic_settings.NoDecode, pydantic.BeforeValidator(_words), Field(min_length=1)]


class Settings(pydantic_settings.BaseSettings):
    """All settings of a process. Durations are seconds."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, env_ignore_empty=True
    )

    database_url: pydantic.SecretStr | None = Field(
        default=None, description="postgresql://... ; without it an embedded Postgres in the data folder"
    )
    database_password_file: Path | None = Field(
        default=None, description="a file with the password, read at each connection"
    )
    database_password_command: str | None = Field(
        default=None, description="a command that prints the password, run at each connection, without a shell"
    )
    inventory_url: pydantic.SecretStr | None = Field(
        default=None, description="postgresql://... for what activities keep, as the inventory; else the operator's own"
    )
    migrate: Literal["on", "off"] = Field(default="on", description="bring the schema up to date at start")
    data_folder: Path = Field(default=Path(".perdure"), description="where the embedded Postgres keeps its data")
    embedded_postgres: Literal["auto", "allow"] = Field(
        default="auto", description="allow: also in a pod, where its data dies with the pod"
    )
    modules: Words = Field(default=("workflows", "activities"), description="packages that offer registry.py")
    roles: Roles = Field(default=("controller", "worker"), description="controller, worker, or both")
    kubernetes: Literal["auto", "off"] = Field(
        default="auto", description="auto: as the configuration of the process says; off: a worker without a cluster"
    )
    secrets_folder: Path | None = Field(
        default=None, description="files that references to Secrets lead to, with PERDURE_KUBERNETES=off"
    )
    namespaces: Annotated[Words, pydantic.AfterValidator(_namespaces)] = Field(
        default=(), description="namespaces to watch; empty for all"
    )
    leader_election: Literal["auto", "on", "off"] = Field(
        default="auto", description="auto: in a pod, or when the namespace of the Lease is given"
    )
    lease_namespace: Annotated[str, pydantic.AfterValidator(_name)] | None = Field(
        default=None,
        description="where the Lease of the controllers is; else the namespace of the pod or kubeconfig",
    )
    lease_name: Annotated[str, pydantic.AfterValidator(_name)] = Field(
        default="perdure-controller", description="the Lease of the controllers; one for each installation"
    )
    adopt_cluster: UUID | None = Field(
        default=None, description="uid of the cluster that the database is taken over from"
    )
    allowed_orchestrations: ByNamespace = Field(
        default={}, description="names, with * and ?, that resources of a namespace may run; all when empty"
    )
    default_service_account: Literal["allow", "deny"] = Field(
        default="allow", description="deny: a resource must name the ServiceAccount that its run acts as"
    )
    http_host: str = Field(default="127.0.0.1", description="address to listen on")
    http_port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 for any")
    log_format: Literal["pretty", "json"] = Field(default="pretty", description="for people or for programs")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least to be said")
    lease_seconds: float = Field(default=10.0, ge=0.5, le=600, description="how long a silent worker keeps its runs")
    poll_seconds: float = Field(default=3.0, ge=0.1, le=60, description="safety net behind the wake-ups")
    max_instances: int = Field(default=5000, ge=1, description="runs in memory at once")
    max_activities: int = Field(default=200, ge=1, description="activities at once")
    queues: Annotated[Words, pydantic.AfterValidator(_queues)] = Field(
        default=(), description="queues to serve, for activities that ask for one"
    )
    cancel_grace_seconds: float = Field(
        default=limits.CANCEL_GRACE_SECONDS, ge=0, description="how long compensation may take after a cancel"
    )
    keep_executions: int = Field(
        default=limits.KEPT_EXECUTIONS, ge=1, description="executions of a run that keep their history"
    )
    retention_seconds: float | None = Field(
        default=None, ge=1, description="how long finished runs without a resource stay; for ever when not set"
    )
    sweep_seconds: float = Field(default=300.0, ge=1, description="full comparison of cluster and database")
    kubernetes_requests_per_second: float = Field(
        default=100.0, ge=0, description="budget of the API server for activities, of all workers together; 0: none"
    )
    status_writes_per_second: float = Field(default=50.0, gt=0, description="budget of the API server for statuses")
    events: EventLevel = Field(default="warnings", description="Kubernetes Events to write: all, warnings, or off")
    encryption_keys: pydantic.SecretStr | None = Field(
        default=None, description="id:base64,... ; payloads are encrypted under the first, the others open older ones"
    )
    encryption_keys_file: Path | None = Field(default=None, description="a file with such keys, one a line")

    @pydantic.field_validator("database_url", "inventory_url")
    @classmethod
    def _is_postgres(cls, value: pydantic.SecretStr | None) -> pydantic.SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"postgres", "postgresql"}:
            message = "expected postgresql://user:password@host:port/database"
            raise ValueError(message)
        if value is not None and "?" in urlsplit(value.get_secret_value()).query:
            message = (
                "options stand behind options, and would count as one value of theirs; one `?`, and `&` between them"
            )
            raise ValueError(message)
        return value

    @pydantic.field_validator("database_password_file", "database_password_command")
    @classmethod
    def _is_the_only_password(cls, value: Path | str | None, others: pydantic.ValidationInfo) -> Path | str | None:
        if value is None or "database_url" not in others.data:
            return value  # of a wrong address is enough to be said
        url = others.data["database_url"]
        if url is None:
            message = "a password without the address of a database; set PERDURE_DATABASE_URL"
            raise ValueError(message)
        if masked(url.get_secret_value()) != url.get_secret_value():
            message = "PERDURE_DATABASE_URL holds a password already; set one of the two"
            raise ValueError(message)
        if others.data.get("database_password_file") is not None:
            message = "PERDURE_DATABASE_PASSWORD_FILE is set already; set one of the two"
            raise ValueError(message)
        if isinstance(value, str) and not shlex.split(value):
            message = "there is no command in it"
            raise ValueError(message)
        return value

    @pydantic.field_validator("kubernetes")
    @classmethod
    def _is_needed(cls, value: str, others: pydantic.ValidationInfo) -> str:
        if value == "off" and "controller" in others.data.get("roles", ()):
            message = "the role controller watches a cluster; only PERDURE_ROLES=worker can do without"
            raise ValueError(message)
        return value

    @pydantic.field_validator("secrets_folder")
    @classmethod
    def _is_without_cluster(cls, value: Path | None, others: pydantic.ValidationInfo) -> Path | None:
        if value is not None and others.data.get("kubernetes") == "auto":
            message = "with a cluster, Secrets are read from it, as the ServiceAccount of the run"
            raise ValueError(message)
        return value

    @pydantic.field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, value: pydantic.SecretStr | None) -> pydantic.SecretStr | None:
        if value is not None:
            _encryption(value.get_secret_value())
        return value

    @pydantic.field_validator("encryption_keys_file")
    @classmethod
    def _has_keys(cls, value: Path | None, others: pydantic.ValidationInfo) -> Path | None:
        if value is not None:
            if others.data.get("encryption_keys") is not None:
                message = "the keys are in PERDURE_ENCRYPTION_KEYS already; set one of the two"
                raise ValueError(message)
            _encryption(_read(value))
        return value

    def codec(self) -> Codec:
        """Give what payloads go through on their way to the database: without keys nothing."""
        if self.encryption_keys_file is not None:
            return _encryption(_read(self.encryption_keys_file))
        return PlainCodec() if self.encryption_keys is None else _encryption(self.encryption_keys.get_secret_value())

    def password(self) -> passwords.Password | None:
        """Give how the password of the database is asked for; None when it is in the address, or not needed."""
        if self.database_password_file is not None:
            return passwords.from_file(self.database_password_file)
        if self.database_password_command is not None:
            return passwords.from_command(shlex.split(self.database_password_command))
        return None

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings; `overrides` (from the command line, None for not given) win over the environment.

        Raises `SettingsError` that names every wrong or unknown variable at once.
        """
        problems = [_unknown(name) for name in sorted(os.environ) if _is_unknown(name, os.environ[name])]
        chosen = {name: value for name, value in overrides.items() if value is not None}
        try:
            settings = cls(**chosen)  # type: ignore[arg-type]  # pydantic checks them, and explains better
        except pydantic.ValidationError as error:
            problems += [_explained(problem, chosen) for problem in error.errors(include_url=False)]
            raise errors.SettingsError(problems) from None
        if problems:
            raise errors.SettingsError(problems)
        return settings


def _encryption(keys: str) -> Codec:
    """Make a codec of keys. Raises `ValueError` that shows none of them."""
    from perdure.encryption import EncryptionCodec  # noqa: PLC0415 - a library that most processes can do without

    try:
        return EncryptionCodec.of(keys)
    except errors.EncryptionKeyError as error:
        raise ValueError(error.message) from None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"it cannot be read: {type(error).__name__}"
        raise ValueError(message) from None


def masked(url: str) -> str:
    """Show a database address without its password; of one that is no address, nothing."""
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password
    except ValueError:
        return _UNREADABLE
    if "://" not in url:
        return _UNREADABLE
    _, _, host = parts.netloc.rpartition("@")
    netloc = parts.netloc if password is None else f"{user}:***@{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=_SECRET_OPTION.sub(r"\1***", parts.query)))


_SHOWN_AS: Mapping[str, Callable[[str], str]] = {
    "database_url": masked,
    "inventory_url": masked,
    "encryption_keys": lambda _: "***",
}
"""What of a secret setting may be shown when it is wrong."""


def _variable(field: str) -> str:
    return f"{_PREFIX}{field.upper()}"


def _is_unknown(name: str, value: str) -> bool:
    if not name.startswith(_PREFIX) or _ELSEWHERE.fullmatch(name):
        return False
    if name.removeprefix(_PREFIX).lower() in Settings.model_fields:
        return False
    is_link = _SERVICE_LINKS.fullmatch(name) and ("://" in value or not name.endswith("_PORT") or "SERVICE" in name)
    return not is_link


def _unknown(name: str) -> str:
    known = [_variable(field) for field in Settings.model_fields]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is no setting; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}.")


def _explained(problem: pydantic_core.ErrorDetails, chosen: Mapping[str, object]) -> str:
    """Say which variable, its value (a secret masked), and what was expected."""
    field = str(problem["loc"][0])
    value = str(chosen.get(field, os.environ.get(_variable(field), "")))
    shown = _SHOWN_AS.get(field, str)(value)
    said = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{_variable(field)} is {shown!r}: {said} ({Settings.model_fields[field].description})."
