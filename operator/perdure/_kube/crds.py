"""Renders the resource models as CustomResourceDefinitions.

Pydantic speaks JSON Schema, the API server wants its structural subset: no references, no titles, no `anyOf` with
null, every object with its type. The translation is a handful of rules on plain dicts; what only Kubernetes knows
(list types, CEL rules, free-form fields) stands in the models as `json_schema_extra` and passes through. Nothing here
talks to a server, and the result depends on nothing but the models: `crds/` is committed, and a test renders it again.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping

import pydantic
import yaml
from pydantic import JsonValue

from perdure._kube.api import base, orchestration, orchestration_schedule, orchestration_signal

__all__ = ["render_all"]

Schema = dict[str, JsonValue]

_HEADER = "# Generated from the models in operator/perdure/_kube/api by `make crds`. Do not edit.\n"


@dataclasses.dataclass(frozen=True, slots=True)
class _Definition:
    """What a CRD says beside its schema. `selectable` are the fields that `--field-selector` takes."""

    kind: str
    plural: str
    short: str
    model: type[pydantic.BaseModel]
    columns: list[JsonValue]
    selectable: list[str]


def render_all() -> dict[str, str]:
    """Give the text of every CRD by its file name."""
    return {f"{base.GROUP}_{one.plural}.yaml": _to_yaml(_rendered(one)) for one in _definitions()}


def _definitions() -> list[_Definition]:
    """Give what there is to define, the runs first."""
    return [
        _Definition(
            kind=orchestration.KIND,
            plural=orchestration.PLURAL,
            short="orch",
            model=orchestration.Orchestration,
            columns=_orchestration_columns(),
            selectable=[".spec.orchestration", ".status.phase"],
        ),
        _Definition(
            kind=orchestration_signal.KIND,
            plural=orchestration_signal.PLURAL,
            short="orchsig",
            model=orchestration_signal.OrchestrationSignal,
            columns=_signal_columns(),
            selectable=[".spec.orchestrationRef.name", ".spec.signal", ".status.phase"],
        ),
        _Definition(
            kind=orchestration_schedule.KIND,
            plural=orchestration_schedule.PLURAL,
            short="orchsched",
            model=orchestration_schedule.OrchestrationSchedule,
            columns=_schedule_columns(),
            selectable=[".spec.suspend"],
        ),
    ]


def _rendered(one: _Definition) -> Schema:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{one.plural}.{base.GROUP}"},
        "spec": {
            "group": base.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": one.kind,
                "listKind": f"{one.kind}List",
                "plural": one.plural,
                "singular": one.kind.lower(),
                "shortNames": [one.short],
                "categories": ["perdure"],
            },
            "versions": [
                {
                    "name": base.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": one.columns,
                    "selectableFields": [{"jsonPath": path} for path in one.selectable],
                    "schema": {"openAPIV3Schema": _schema(one)},
                }
            ],
        },
    }


def _orchestration_columns() -> list[JsonValue]:
    """The columns of `kubectl get`; those of priority 1 come with `-o wide`."""
    return [
        _column("Phase", ".status.phase"),
        _column("Step", ".status.step"),
        _column("Progress", ".status.progress.text"),
        _column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        _column("Age", ".metadata.creationTimestamp", type="date"),
        _column("Version", ".status.version", priority=1),
        _column("Instance", ".status.instanceId", priority=1),
        _column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        _column("Duration", ".status.duration", priority=1),
    ]


def _signal_columns() -> list[JsonValue]:
    return [
        _column("Signal", ".spec.signal"),
        _column("Target", ".spec.orchestrationRef.name"),
        _column("Phase", ".status.phase"),
        _column("Age", ".metadata.creationTimestamp", type="date"),
        _column("Instance", ".status.instanceId", priority=1),
        _column("Delivered", ".status.deliveredAt", type="date", priority=1),
        _column("Message", ".status.message", priority=1),
    ]


def _schedule_columns() -> list[JsonValue]:
    return [
        _column("Cron", ".spec.cron"),
        _column("Zone", ".spec.timeZone"),
        _column("Suspend", ".spec.suspend", type="boolean"),
        _column("Active", ".status.activeCount", type="integer"),
        _column("Last", ".status.lastScheduleTime", type="date"),
        _column("Next", ".status.nextScheduleTime"),
        _column("Age", ".metadata.creationTimestamp", type="date"),
        _column("Missed", ".status.missed", type="integer", priority=1),
        _column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    ]


def _column(name: str, path: str, *, type: str = "string", priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": type, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def _schema(one: _Definition) -> Schema:
    schema = _structural(one.model)
    return _without_transitions(schema) if one.kind == orchestration_schedule.KIND else schema


def _structural(model: type[pydantic.BaseModel]) -> Schema:
    """Give the structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    return _translate(schema, definitions)


def _without_transitions(schema: Schema) -> Schema:
    """Leave out the rules about changes: a template is no Orchestration yet, and may change at will."""
    kept: Schema = {}
    for key, value in schema.items():
        if key == "x-kubernetes-validations" and isinstance(value, list):
            rules = [rule for rule in value if "oldSelf" not in str(_object(rule)["rule"])]
            kept |= {key: rules} if rules else {}
        else:
            kept[key] = _without_transitions(value) if isinstance(value, dict) else value
    return kept


def _translate(schema: Mapping[str, JsonValue], definitions: Mapping[str, Schema]) -> Schema:
    """Apply the rules to one schema and everything below it."""
    plain = _without_references(schema, definitions)
    result: Schema = {}
    for key, value in plain.items():
        match key, value:
            case "properties", dict():
                result[key] = {name: _translate(_object(item), definitions) for name, item in value.items()}
            case (("items" | "additionalProperties"), dict()):
                result[key] = _translate(value, definitions)
            case "description", str():
                result[key] = " ".join(inspect.cleandoc(value).split())
            case (("title" | "additionalProperties" | "$defs"), _):
                pass
            case _:
                result[key] = value
    if result.get("type") == "integer":
        result["format"] = "int64"
    return result


def _without_references(schema: Mapping[str, JsonValue], definitions: Mapping[str, Schema]) -> Schema:
    """Put in what is referred to, and take `X or null` as an optional X. What stands beside a reference wins."""
    own = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf"}}
    if own.get("default", ...) is None:
        del own["default"]  # pydantic's way to say optional
    match schema:
        case {"$ref": str(reference)}:
            return _without_references(definitions[reference.rpartition("/")[2]], definitions) | own
        case {"anyOf": [dict(option), {"type": "null"}]}:
            return _without_references(option, definitions) | own
        case {"anyOf": _}:
            message = f"A structural schema has no alternatives: {schema}"
            raise TypeError(message)
        case _:
            return own


def _object(value: JsonValue) -> Schema:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _to_yaml(definition: Schema) -> str:
    return _HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)
