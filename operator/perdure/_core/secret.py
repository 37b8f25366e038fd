"""References to secrets, and what keeps their values out of history.

A `SecretRef` travels through inputs, results and signals like any value; the secret itself stays where it is and is
read where it is used, inside an activity. `Secrecy` is the memory of one attempt: it knows which values were resolved,
and refuses or masks them in what would be written down (I11). It is a guard rail, not a proof: a value in parts, in
another encoding, or of a few characters is not recognised.

Where values come from is not known here: a run's ServiceAccount reads them through the API server, a worker outside of
Kubernetes is given a `Secrets`.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Mapping
from typing import Final, NoReturn, Protocol

import msgspec
import pydantic_core
from pydantic_core import core_schema

from perdure import errors
from perdure._core import limits

__all__ = ["NOT_SHOWN", "Secrecy", "SecretRef", "Secrets", "value_of"]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KEY: Final = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]{1,253}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_EXPECTED: Final = 'expected a reference, {"secretRef": {"name": "...", "key": "..."}}, with a namespace if you like'
_MASK: Final = "***"

NOT_SHOWN: Final = "no_secret_ref"
"""The kind of a validation error whose input may be a secret."""


class SecretRef:
    """A key of a Secret, by name; the value is got with `ctx.resolve_secret`, inside an activity.

    A field of inputs and outputs like any other; in JSON it is `{"secretRef": {"name": ..., "key": ...}}`. Without
    `namespace` it is a Secret in the run's own. Raises `ValueError` for what can be no name of one.
    """

    __slots__ = ("key", "name", "namespace")

    name: str
    key: str
    namespace: str | None

    def __init__(self, name: str, key: str, namespace: str | None = None) -> None:
        """Refer to it; whether it exists is found when it is resolved."""
        for what, value, pattern, expected in (
            ("name", name, _NAME, "a DNS name, as in db-credentials"),
            ("key", key, _KEY, "letters, digits, '-', '_', '.'"),
            ("namespace", namespace or "default", _NAMESPACE, "a DNS label, as in team-a"),
        ):
            if not pattern.fullmatch(value):  # it is not shown: people mistake the reference for the place of the value
                message = f"the {what} of a SecretRef is wrong: expected {expected}"
                raise ValueError(message)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "namespace", namespace or None)

    def __setattr__(self, _: str, __: object) -> NoReturn:
        message = "a SecretRef cannot be changed; make another"
        raise AttributeError(message)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.name, self.key, self.namespace))

    def __reduce__(self) -> tuple[type[SecretRef], tuple[str, str, str | None]]:
        return SecretRef, (self.name, self.key, self.namespace)

    def __repr__(self) -> str:
        """Show the reference; there is nothing else to show."""
        where = "" if self.namespace is None else f", namespace={self.namespace!r}"
        return f"SecretRef(name={self.name!r}, key={self.key!r}{where})"

    def __str__(self) -> str:
        """Say it as people do: key password of Secret db."""
        where = "" if self.namespace is None else f" in namespace {self.namespace}"
        return f"key {self.key} of Secret {self.name}{where}"

    def to_json(self) -> dict[str, dict[str, str]]:
        """Give its JSON form."""
        where = {} if self.namespace is None else {"namespace": self.namespace}
        return {"secretRef": {"name": self.name, "key": self.key, **where}}

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> core_schema.CoreSchema:
        """Let pydantic read and write the JSON form, and take a reference as it is."""
        write = core_schema.plain_serializer_function_ser_schema(cls.to_json)
        return core_schema.no_info_plain_validator_function(_read, serialization=write)

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: object) -> dict[str, object]:
        """Describe the JSON form."""
        text = {"type": "string"}
        target = {"type": "object", "properties": dict.fromkeys(("name", "key", "namespace"), text)}
        inner = {**target, "required": ["name", "key"], "additionalProperties": False}
        return {"type": "object", "properties": {"secretRef": inner}, "required": ["secretRef"]}


def _read(value: object) -> SecretRef:
    """Read the JSON form. What was found is not shown: people put the secret itself where its reference belongs."""
    if isinstance(value, SecretRef):
        return value
    match value:
        case {"secretRef": {"name": str(name), "key": str(key), **rest}, **outer} if not outer:
            namespace = rest.pop("namespace", None)
            if not rest and (namespace is None or isinstance(namespace, str)):
                try:
                    return SecretRef(name, key, namespace)
                except ValueError as error:
                    raise pydantic_core.PydanticCustomError(NOT_SHOWN, "{said}", {"said": str(error)}) from None
    raise pydantic_core.PydanticCustomError(NOT_SHOWN, _EXPECTED)


class Secrets(Protocol):
    """Where a worker outside of Kubernetes has its secrets from: `WorkerSettings(secrets=...)`."""

    async def resolve(self, reference: SecretRef, /) -> str:
        """Give the value as it is now.

        Raises `SecretMissingError`, which is retryable, while there is none, and `SecretNotTextError`.
        """


def value_of(reference: SecretRef, manifest: Mapping[str, object] | None) -> str:
    """Take the value out of a Secret as the API server has it; None when there is no such Secret.

    Raises `SecretMissingError` and `SecretNotTextError`.
    """
    if manifest is None:
        raise errors.SecretMissingError(str(reference), "there is no such Secret")
    data = manifest.get("data")
    held: Mapping[str, object] = data if isinstance(data, dict) else {}
    encoded = held.get(reference.key)
    if not isinstance(encoded, str):
        raise errors.SecretMissingError(
            str(reference), f"the Secret has the keys {', '.join(map(str, held)) or '(none)'}"
        )
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise errors.SecretNotTextError(str(reference)) from None


class Secrecy:
    """What one attempt has resolved, and the guard of it."""

    __slots__ = ("_forms", "source")

    def __init__(self, source: Secrets | None = None) -> None:
        """Know no value yet; `source` is where they come from, None for the API server."""
        self.source = source
        self._forms: dict[str, SecretRef] = {}

    def remember(self, reference: SecretRef, value: str) -> None:
        """Guard a value from now on, unless it is so short that it may stand anywhere by chance."""
        if len(value) < limits.SECRET_GUARDED_CHARACTERS:
            return
        for form in (
            value,
            repr(value)[1:-1],
            urllib.parse.quote(value, safe=""),
            base64.b64encode(value.encode()).decode().rstrip("="),
        ):
            self._forms[form] = self._forms[msgspec.json.encode(form)[1:-1].decode()] = reference

    def refuse_in(self, data: bytes, what: str) -> None:
        """Raise `SecretLeakError` when a guarded value stands in `data`; `what` names it ("result of activity x")."""
        if found := {str(reference) for form, reference in self._forms.items() if form.encode() in data}:
            raise errors.SecretLeakError(what, sorted(found))

    def masked(self, text: str) -> str:
        """Give `text` with every guarded value replaced; the longest first, one may be a part of another."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, _MASK)
        return text

    def masked_value(self, value: object) -> object:
        """Give a value of a log line as it is, or as masked text when a guarded value would show in it."""
        if not self._forms:
            return value
        shown = str(value)
        masked = self.masked(shown)
        return value if masked == shown else masked
