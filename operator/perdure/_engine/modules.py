"""Loads what the application packages offer: the list `PERDURE_MODULES`, each with a `registry.py`.

It knows imports and registries; it must not know what an orchestration does. Nothing is found by scanning: a package is
named or it is not there. Whatever goes wrong says which package, what happened and where, because at start somebody
is looking.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure import errors
from perdure._core.definition import ActivityRegistry, OrchestrationRegistry

__all__ = ["load"]

_ORCHESTRATIONS = "create_orchestration_registry"
_ACTIVITIES = "create_activity_registry"


def load(names: Sequence[str]) -> tuple[OrchestrationRegistry, ActivityRegistry]:
    """Give all that these packages offer; the working directory is looked into first.

    Raises `ModuleLoadError` that names the package and the reason.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    orchestrations, activities = OrchestrationRegistry(), ActivityRegistry()
    for name in names:
        module = _import(name)
        offered = 0
        try:
            if hasattr(module, _ORCHESTRATIONS):
                orchestrations.add(*_offer(module, _ORCHESTRATIONS))
                offered += 1
            if hasattr(module, _ACTIVITIES):
                activities.add(*_offer(module, _ACTIVITIES))
                offered += 1
        except errors.ModuleLoadError:
            raise
        except Exception as error:  # a border: the code of the package may raise anything
            raise _complaint(name, error) from error
        if not offered:
            raise errors.ModuleLoadError(
                f"{name}.registry ({module.__file__}) offers neither {_ORCHESTRATIONS}() nor {_ACTIVITIES}(). Add one "
                f"of them, or take {name} out of PERDURE_MODULES."
            )
    return orchestrations, activities


def _offer(module: ModuleType, function: str) -> Iterable[Any]:
    """Call one of the two functions of a registry; a `return` is forgotten easily."""
    offered: object = getattr(module, function)()
    if not isinstance(offered, Iterable):
        raise errors.ModuleLoadError(
            f"{function}() of {module.__name__} ({module.__file__}) gives {offered!r}; expected what "
            "OrchestrationRegistry.of(...) or ActivityRegistry.of(...) gives."
        )
    return offered


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{name}.registry")
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise errors.ModuleLoadError(
                f"PERDURE_MODULES names {name}, but there is no such package in {Path.cwd()} or where Python looks "
                "otherwise. Start in the folder that holds it, or correct PERDURE_MODULES."
            ) from error
        if error.name == f"{name}.registry":
            raise errors.ModuleLoadError(
                f"The package {name} has no registry.py. Add one with {_ORCHESTRATIONS}() or {_ACTIVITIES}(), or take "
                f"{name} out of PERDURE_MODULES."
            ) from error
        raise _complaint(name, error) from error
    except Exception as error:  # a border: importing runs the code of the package
        raise _complaint(name, error) from error


def _complaint(name: str, error: Exception) -> errors.ModuleLoadError:
    """Say what happened and on which line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    text = str(error) if isinstance(error, errors.PerdureError) else f"{type(error).__name__}: {error}"
    return errors.ModuleLoadError(f"PERDURE_MODULES names {name}, which cannot be loaded: {text}{where}.")
