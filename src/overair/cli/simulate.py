"""``overair simulate``: a fleet of HTTP devices against any DDI server, this one or another."""

import asyncio
import signal
import ssl
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from overair.cli import CommandError
from overair.cli.options import print_json
from overair.cli.screen import Screen
from overair.clock import FastClock
from overair.sim.fleet import FleetOptions, FleetReport, run_fleet
from overair.sim.profile import Behaviour
from overair.sim.roster import RosterError, SimDevice, generate_roster, read_roster
from overair.sim.tally import FleetSnapshot


def simulate(
    url: Annotated[str, Parameter(help="Base URL of the DDI server, before the tenant.")],
    *,
    tenant: Annotated[str, Parameter(help="Tenant: an account's name or alias.")] = "default",
    roster: Annotated[
        Path | None, Parameter(help="CSV or NDJSON of devices: controllerId, token, …")
    ] = None,
    count: Annotated[int, Parameter(help="Without a roster: so many made-up devices.")] = 100,
    gateway_token: Annotated[str | None, Parameter(help="For devices without a token.")] = None,
    duration: Annotated[
        float | None, Parameter(help="Stop after so many (simulated) seconds.")
    ] = None,
    until_updated: Annotated[
        int | None, Parameter(help="Stop when so many devices are updated.")
    ] = None,
    rate: Annotated[float, Parameter(help="Run the devices' time that many times as fast.")] = 1.0,
    poll_interval: Annotated[
        float | None, Parameter(help="Seconds between polls, instead of the server's.")
    ] = None,
    start_over: Annotated[float, Parameter(help="Seconds over which the devices start.")] = 5.0,
    connections: Annotated[int, Parameter(help="Connections at once.")] = 64,
    seed: Annotated[int, Parameter(help="The same seed gives the same fates.")] = 0,
    download_failure: Annotated[
        float, Parameter(help="Share of attempts whose download breaks off for good.")
    ] = 0.0,
    corruption: Annotated[
        float, Parameter(help="Share of attempts whose download arrives damaged.")
    ] = 0.0,
    install_failure: Annotated[
        float, Parameter(help="Share of attempts whose installation fails.")
    ] = 0.0,
    fallback: Annotated[
        float,
        Parameter(
            help="Share of attempts after which the device starts with the old version again."
        ),
    ] = 0.0,
    silence: Annotated[
        float, Parameter(help="Share of attempts that are installed and never reported.")
    ] = 0.0,
    forgetfulness: Annotated[
        float,
        Parameter(
            help="Share of attempts that the device forgets at its restart and begins again."
        ),
    ] = 0.0,
    cut: Annotated[
        float, Parameter(help="Share of downloads that are cut once, and resumed.")
    ] = 0.0,
    cancel_refusal: Annotated[
        float, Parameter(help="Share of cancellations that the device refuses.")
    ] = 0.0,
    slow: Annotated[float, Parameter(help="Share of devices behind a slow link.")] = 0.0,
    slow_bytes_per_s: Annotated[float, Parameter(help="How slow that is.")] = 64_000.0,
    ca_file: Annotated[Path | None, Parameter(help="Authorities to trust, in PEM.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Answer in JSON.")] = False,
) -> int:
    """Run simulated HTTP devices, with failures, slow links and reboots."""
    try:
        devices = _devices(roster, count, seed, gateway_token)
        options = FleetOptions(
            url=url,
            devices=devices,
            tenant=tenant,
            gateway_token=gateway_token,
            behaviour=Behaviour(
                download_failure=download_failure,
                corruption=corruption,
                install_failure=install_failure,
                fallback=fallback,
                silence=silence,
                forgetfulness=forgetfulness,
                cut=cut,
                cancel_refusal=cancel_refusal,
                slow_share=slow,
                slow_bytes_per_s=slow_bytes_per_s,
                poll_interval_s=poll_interval,
            ),
            seed=seed,
            connections=connections,
            start_over_s=start_over,
            stop_after_s=duration,
            stop_when=None if until_updated is None else lambda s: s.updated >= until_updated,
            tls=None if ca_file is None else ssl.create_default_context(cafile=str(ca_file)),
        )
    except (RosterError, ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    report = asyncio.run(_run(options, FastClock(rate), as_json))
    if as_json:
        print_json({"elapsedS": round(report.elapsed_s, 1), **asdict(report.snapshot)})
    return 0


def _devices(
    roster: Path | None, count: int, seed: int, gateway_token: str | None
) -> tuple[SimDevice, ...]:
    if roster is not None:
        return read_roster(roster)
    if gateway_token is None:
        raise CommandError(
            "made-up devices are nobody's: give --roster FILE with their tokens, or"
            " --gateway-token of an account that registers devices by itself"
        )
    return generate_roster(count, seed=seed)


async def _run(options: FleetOptions, clock: FastClock, as_json: bool) -> FleetReport:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    if as_json:
        return await run_fleet(options, clock, stop=stop)
    with Live(console=Screen(), refresh_per_second=4) as live:
        return await run_fleet(options, clock, lambda seen: live.update(picture(seen)), stop=stop)


def picture(seen: FleetSnapshot) -> Table:
    """A fleet at one moment."""
    table = Table(title=f"{seen.devices} simulated devices")
    for name in ("polls", "offered", "downloading", "installing", "updated", "failed", "errors"):
        table.add_column(name, justify="right")
    table.add_row(
        *(
            str(value)
            for value in (
                seen.polls,
                seen.offered,
                seen.downloading,
                seen.installing + seen.rebooting,
                seen.updated,
                seen.failed,
                seen.errors,
            )
        )
    )
    if seen.last_error:
        table.caption = f"last error: {seen.last_error}"
    return table
