"""18xx: secrets that cannot be resolved or would leak, and payloads that cannot be opened."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.errors.base import PerdureError

__all__ = [
    "EncryptionKeyError",
    "EncryptionKeyMissingError",
    "PayloadDamagedError",
    "PayloadSealedError",
    "SecretLeakError",
    "SecretMissingError",
    "SecretNotTextError",
    "SecretsUnavailableError",
]


class SecretMissingError(PerdureError):
    """A Secret, or its key, is not there yet."""

    code = "PERDURE-1801"
    retryable = True

    def __init__(self, reference: str, found: str) -> None:
        """Name what was looked for, and what is there instead."""
        self.reference = reference
        super().__init__(
            f"{reference} cannot be resolved: {found}. Create it, or correct the reference; an activity with a retry "
            "policy goes on by itself when it is there."
        )


class SecretNotTextError(PerdureError):
    """The value of a Secret is no text."""

    code = "PERDURE-1802"

    def __init__(self, reference: str) -> None:
        """Name the reference, never the value."""
        self.reference = reference
        super().__init__(
            f"{reference} is no UTF-8 text. Keep binary data in another encoding (base64, PEM), or read the Secret "
            "itself through ctx.kubernetes."
        )


class SecretLeakError(PerdureError):
    """A value that was resolved from a Secret would have been written to history."""

    code = "PERDURE-1803"

    def __init__(self, what: str, references: Sequence[str]) -> None:
        """Say where it was found, and which references it belongs to; never the value."""
        super().__init__(
            f"The {what} contains the value of {', '.join(references)}, and was not kept. Give the reference on "
            "instead of the value (SecretRef), or write the value to a Secret."
        )


class SecretsUnavailableError(PerdureError):
    """This worker has nowhere to resolve references to Secrets from."""

    code = "PERDURE-1804"

    def __init__(self, reference: str, instance_id: str) -> None:
        """Name the two ways to have one."""
        super().__init__(
            f"{reference} cannot be resolved for instance {instance_id}: it has no Kubernetes identity, and its worker "
            "has no other source of secrets. Start it through an Orchestration resource, or have it run by a worker "
            "without a cluster (PERDURE_KUBERNETES=off), which reads variables or files."
        )


class PayloadSealedError(PerdureError):
    """A stored payload cannot be opened by this process. Nothing is lost: it is read as soon as the key is there."""

    code = "PERDURE-1810"
    retryable = True


class EncryptionKeyMissingError(PayloadSealedError):
    """A stored payload is encrypted under a key that this process does not have."""

    code = "PERDURE-1811"

    def __init__(self, key_id: str, known: Sequence[str]) -> None:
        """Name the key that is missing, and those that are there."""
        self.key_id = key_id
        super().__init__(
            f"A stored payload is encrypted under the key {key_id!r}, which this process does not have; it has "
            f"{', '.join(map(repr, known)) or 'no key'}. Add it to PERDURE_ENCRYPTION_KEYS (behind the active one, "
            "which stands first) and start the process again. Nothing is lost; what waits goes on by itself."
        )


class PayloadDamagedError(PayloadSealedError):
    """A stored payload is not what was written under its key."""

    code = "PERDURE-1812"

    def __init__(self, key_id: str) -> None:
        """Name the key, and the two things that it can be."""
        self.key_id = key_id
        super().__init__(
            f"A stored payload does not open under the key {key_id!r} that it names: either this process has another "
            "key of the same id, or the stored bytes were changed. Compare the key with that of the process that "
            "wrote it, or restore the row from a backup; the instance waits."
        )


class EncryptionKeyError(PerdureError):
    """The keys for payload encryption cannot be used."""

    code = "PERDURE-1813"
