"""The page of the workflows against its examples: what it shows is what the examples apply."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.tree import text

PAGE = text(Path("docs/workflows.md"))


@pytest.mark.parametrize("example", ["nightly-backup", "upgrade-postgres"])
def test_the_page_shows_the_run_of_the_example(example: str) -> None:
    """The run stands on the page as it stands in the file, which has its ServiceAccount and Role besides."""
    documents = text(Path(f"docs/examples/{example}.yaml")).split("---\n")

    assert f"```yaml\n{documents[-1]}```" in PAGE
    assert [yaml.safe_load(each)["kind"] for each in documents[:-1]] == ["ServiceAccount", "Role", "RoleBinding"]
