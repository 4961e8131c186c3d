"""``overair serve``, ``migrate`` and ``openapi``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation


def serve(
    common: Common = DEFAULT,
    *,
    http: Annotated[str | None, Parameter(help="Address and port to listen on.")] = None,
    public_url: Annotated[str | None, Parameter(help="Base URL that devices use.")] = None,
    workers: Annotated[int | None, Parameter(help="Server processes (PostgreSQL only).")] = None,
    time_rate: Annotated[
        float | None, Parameter(help="Run campaign time that many times as fast.")
    ] = None,
    log_level: Annotated[str | None, Parameter(help="debug, info, warning or error.")] = None,
) -> int:
    """Serve the management API and the devices until interrupted."""
    from overair import log, serving

    settings = common.settings(
        http=http,
        public_url=public_url,
        workers=workers,
        time_rate=time_rate,
        log_level=log_level,
        log_format="json" if common.as_json else None,
    )
    log.set_up_logging(settings.log_level, settings.log_format)
    return serving.serve(settings)


def migrate(common: Common = DEFAULT) -> int:
    """Bring the database's schema up to date (serve does so too)."""
    from overair.store.migrations import applied_migrations

    async def work(installation: Installation) -> list[str]:
        return await installation.db.report(applied_migrations)

    names = with_installation(common.settings(), work, create=True)
    if common.as_json:
        print_json({"schema": names})
    else:
        print(f"The schema is up to date: {names[-1]}.")
    return 0


def openapi(
    *, output: Annotated[Path | None, Parameter(help="Write it there instead.")] = None
) -> int:
    """Print the OpenAPI document of the management API."""
    from overair.api.openapi import openapi_json

    document = openapi_json()
    if output is None:
        print(document.decode())
    else:
        output.write_bytes(document)
    return 0
