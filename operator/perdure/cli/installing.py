"""The commands of an installation: running the operator, migrating the database, printing the CRDs, leaving.

They import what they need when they run: `perdure list` must not wait for kopf and kubernetes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.application import DatabaseUrl, application
from perdure.cli.connecting import dsn_of
from perdure.settings import Settings

__all__: list[str] = []

_finalizers = typer.Typer(help="Our finalizers in resources.", no_args_is_help=True, add_completion=False)
application.add_typer(_finalizers, name="finalizers")


@application.command()
def run(
    roles: Annotated[
        str | None,
        typer.Option(help="controller, worker, or both with a comma; else $PERDURE_ROLES.", show_default=False),
    ] = None,
) -> None:
    """Run the operator until SIGTERM. Settings are PERDURE_* variables; a wrong one is refused."""
    from perdure._kube import process  # noqa: PLC0415 - kopf and kubernetes take a second to import, for this command only

    process.run(Settings.load(roles=roles))


@application.command()
def migrate(database_url: DatabaseUrl = None) -> None:
    """Bring the database to the schema of this release; harmless when it is there."""
    from perdure._store import migrate as migration  # noqa: PLC0415 - one command needs it

    settings = Settings.load(database_url=database_url)
    applied = asyncio.run(migration.migrate(dsn_of(settings), password=settings.password()))
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("nothing to do")


@application.command()
def crds(
    output: Annotated[
        Path | None, typer.Option("--output", help="Write one file each into this folder.", show_default=False)
    ] = None,
) -> None:
    """Print the custom resource definitions, or write them into a folder."""
    from perdure._kube import crds as definitions  # noqa: PLC0415 - one command needs it

    rendered = definitions.render_all()
    if output is None:
        typer.echo("---\n".join(rendered.values()), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, text in rendered.items():
        (output / name).write_text(text, encoding="utf-8")
        typer.echo(str(output / name))


@_finalizers.command()
def release(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only in this one; else in all.", show_default=False)
    ] = None,
) -> None:
    """Let go of all resources: take our finalizer out of them. Deletions then wait for nobody.

    For an operator that was, or is about to be, uninstalled. Unfinished runs are not touched.
    """
    from perdure._kube import finalizers  # noqa: PLC0415 - one command needs it
    from perdure._kube.client import Api  # noqa: PLC0415 - kubernetes takes a second to import, for this command only

    async def work() -> list[str]:
        api = await Api.connect()
        try:
            return await finalizers.release_all(api, namespace)
        finally:
            await api.close()

    released = asyncio.run(work())
    for resource in released:
        typer.echo(f"released {resource}")
    if not released:
        typer.echo("nothing to release")
