"""The page about secrets tells the truth: its package runs, keeps its secret, and reads what was encrypted."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
import yaml

from perdure import ActivityContext, ActivityInfo, Manifest, OrchestrationDefinition, OrchestrationRegistry, errors
from perdure._core import payload
from perdure._core.activity import ActivityLogger
from perdure._core.definition import AnyActivity
from perdure._core.secret import Secrecy
from perdure._store.store import Store
from perdure.client import Client
from perdure.encryption import EncryptionCodec
from perdure.testing import simulate

PAGE = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n# (letters/\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSWORD = "correct horse battery staple"


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Write the package of the page to a folder and give its modules by name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "__init__.py").touch()
    for name, code in BLOCK.findall(PAGE):
        (tmp_path / name).write_text(code)
    yield lambda name: importlib.import_module(f"letters.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "letters"]:
        del sys.modules[name]


def shown_input() -> dict[str, object]:
    """Give the input that the page shows."""
    documents = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
    return next(document["input"] for document in documents if "input" in document)


def test_every_python_block_of_the_page_is_run() -> None:
    """There is no code on the page that nobody checks."""
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```python\n") == 4


def test_the_orchestration_of_the_page_passes_the_reference_on(letters: Callable[[str], ModuleType]) -> None:
    """What the activity is given is the reference, and so is what history holds."""
    [post] = OrchestrationRegistry.of(letters("post").post)

    run = simulate(
        cast("OrchestrationDefinition[object, object]", post),
        shown_input(),
        activities={"letters::activity::send": "sent"},
    )

    assert [call.input for call in run.activities] == [shown_input()]
    assert run.output == "sent"


@dataclasses.dataclass
class Kubernetes:
    """Stands for the API server with one Secret."""

    namespace: str = "post"

    async def get(self, _: str, kind: str, name: str, *, namespace: str | None = None) -> Manifest | None:
        """Give the Secret."""
        assert (kind, name, namespace) == ("Secret", "mail", None)
        return {"data": {"password": base64.b64encode(PASSWORD.encode()).decode()}}


async def test_the_activity_of_the_page_resolves_it(letters: Callable[[str], ModuleType]) -> None:
    """The value is there in the activity, and guarded from then on."""
    send = cast("AnyActivity", letters("activities").send)
    info = ActivityInfo("letter-1", "post", 1, send.name, 1, 1, run_as="system:serviceaccount:post:runner")
    secrecy, kubernetes = Secrecy(), Kubernetes()
    lent = cast("Callable[[str], object]", lambda *_: kubernetes)
    ctx = ActivityContext(info, cast("ActivityLogger", None), lent, None, secrecy)  # type: ignore[arg-type]  # only `get` is asked for
    letter = payload.decoder(letters("types").Letter)(payload.encode(shown_input(), "input"))

    said = await cast("Callable[..., Awaitable[object]]", send)(ctx, letter)

    assert said == "ada@example.org got 37 characters of postmaster"
    with pytest.raises(errors.SecretLeakError):
        secrecy.refuse_in(PASSWORD.encode(), "result")


async def test_the_client_of_the_page_reads_what_is_encrypted(dsn: str, letters: Callable[[str], ModuleType]) -> None:
    """With the key it gives the output (of a run that has not begun, none); with another it says which is missing."""
    keys = {"2027-01": b"k" * 32}
    store = await Store.open(dsn, codec=EncryptionCodec(keys))
    await Client(store).start_orchestration("letter-1", "post", shown_input())
    await store.close()

    assert await letters("reading").read(dsn, keys, "letter-1") is None
    with pytest.raises(errors.EncryptionKeyMissingError, match="'2027-01'"):
        await letters("reading").read(dsn, {"2027-07": b"n" * 32}, "letter-1")
