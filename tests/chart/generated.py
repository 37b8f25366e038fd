"""What is generated for the chart: its copy of `crds/`, the schema and the page of its values, the page of all fields.

The resource definitions stand in templates, because Helm never touches a folder `crds/` of a chart again after the
first install: so they are upgraded with the chart, and at its end an annotation keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.chart import fields, reference, schema
from tests.tree import ROOT

__all__ = ["CHART", "render", "write"]

CHART = ROOT / "charts" / "perdure"

_HEAD = "metadata:\n"
_KEPT = """metadata:
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
  labels:
    {{- include "perdure.labels" (dict "root" .) | nindent 4 }}
"""


def render() -> Mapping[Path, str]:
    """Give the generated files with their content, by their path."""
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    rules = schema.render(values)
    files = {
        CHART / "values.schema.json": json.dumps(rules, indent=2, ensure_ascii=False) + "\n",
        ROOT / "docs" / "values.md": reference.render(values, rules),
    }
    definitions = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "crds").glob("*.yaml"))}
    files[ROOT / "docs" / "fields.md"] = fields.render(list(definitions.values()))
    for path, text in definitions.items():
        files[CHART / "templates" / "crds" / path.name] = _template(text)
    return files


def write() -> list[Path]:
    """Write the generated files, remove those that are no longer, and name what has changed."""
    files = render()
    gone = [path for path in (CHART / "templates" / "crds").glob("*") if path not in files]
    changed = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in gone:
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
    return sorted([*gone, *changed])


def _template(definition: str) -> str:
    """Make a definition a template: asked for by a value, kept by another, its own braces left alone."""
    text = definition.replace("{{", '{{ "{{" }}')
    assert text.count(f"\n{_HEAD}") == 1, "a definition has one head"
    return f"{{{{- if .Values.crds.install }}}}\n{text.replace(_HEAD, _KEPT, 1)}{{{{- end }}}}\n"
