"""Where a worker outside of Kubernetes has its secrets from: its environment, or a folder of files.

    PERDURE_KUBERNETES=off SECRET_DB__PASSWORD=... perdure run --roles worker
    PERDURE_KUBERNETES=off PERDURE_SECRETS_FOLDER=/run/secrets perdure run --roles worker

Inside of Kubernetes none of this is needed: there `ctx.resolve_secret` reads Secrets as the ServiceAccount of the run.
What is here reads as the process, for every run alike. It knows references and where they lead; it must not know who
asks, or why.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from perdure import errors
from perdure._core.secret import SecretRef, Secrets

__all__ = ["EnvironmentSecrets", "FileSecrets", "Secrets"]


class EnvironmentSecrets:
    """Secrets in variables: key `password` of `db` is `SECRET_DB__PASSWORD`.

    A namespace goes in front, `SECRET_TEAM_A__DB__PASSWORD`; what is no letter or digit is an underscore.
    """

    def __init__(self, prefix: str = "SECRET_") -> None:
        """Look for variables that begin with `prefix`."""
        self._prefix = prefix

    async def resolve(self, reference: SecretRef, /) -> str:
        """Give the value of its variable. Raises `SecretMissingError` when it is not set."""
        parts = [reference.namespace or "", reference.name, reference.key]
        name = self._prefix + "__".join(re.sub(r"[^A-Za-z0-9]", "_", part).upper() for part in parts if part)
        value = os.environ.get(name)
        if value is None:
            raise errors.SecretMissingError(str(reference), f"the variable {name} is not set")
        return value


class FileSecrets:
    """Secrets in files, as they are mounted: key `password` of `db` is `FOLDER/db/password`.

    A namespace is a folder around it. A file is read at each call, so that a changed secret is seen.
    """

    def __init__(self, folder: str | Path) -> None:
        """Look below `folder`."""
        self._folder = Path(folder)

    async def resolve(self, reference: SecretRef, /) -> str:
        """Give the content of its file. Raises `SecretMissingError` and `SecretNotTextError`."""
        file = self._folder.joinpath(*filter(None, [reference.namespace, reference.name, reference.key]))
        try:
            return (await asyncio.to_thread(file.read_bytes)).decode("utf-8")
        except OSError as error:
            raise errors.SecretMissingError(str(reference), f"{file}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise errors.SecretNotTextError(str(reference)) from None
