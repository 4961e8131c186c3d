"""``overair simulate``: a fleet of devices against any server of their protocol, this one or another.

HTTP devices against a DDI server here; OMA-DM devices in ``simulate_omadm``, LwM2M devices in
``simulate_lwm2m``.
"""

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.table import Table

from overair.cli import CommandError
from overair.cli.simulate_flags import (
    FATES,
    RUN,
    TOLD,
    FateFlags,
    RunFlags,
    ToldFlags,
    print_outcome,
    run,
    stop_when,
)
from overair.cli.simulate_flags import picture as draw
from overair.cli.simulate_lwm2m import DEFAULT as LWM2M
from overair.cli.simulate_lwm2m import Lwm2mFlags, simulate_lwm2m
from overair.cli.simulate_omadm import DEFAULT as OMADM
from overair.cli.simulate_omadm import OmadmFlags, simulate_omadm
from overair.sim.http.fleet import FleetOptions, run_fleet
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice, generate_roster, read_roster
from overair.sim.http.tally import FleetSnapshot
from overair.sim.roster import RosterError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HttpFlags:
    """What only HTTP devices have."""

    tenant: Annotated[str, Parameter(help="HTTP: tenant, an account's name or alias.")] = "default"
    gateway_token: Annotated[str | None, Parameter(help="HTTP: for devices without a token.")] = (
        None
    )
    poll_interval: Annotated[
        float | None, Parameter(help="HTTP: seconds between polls, instead of the server's.")
    ] = None
    forgetfulness: Annotated[
        float,
        Parameter(
            help="HTTP: share of attempts that the device forgets at its restart and begins again."
        ),
    ] = 0.0
    cancel_refusal: Annotated[
        float, Parameter(help="HTTP: share of cancellations that the device refuses.")
    ] = 0.0


HTTP = HttpFlags()


def simulate(
    url: Annotated[
        str,
        Parameter(
            help="The server: its base URL, before the tenant (HTTP) or /dm (OMA-DM); LwM2M: coap://host:port."
        ),
    ],
    *,
    protocol: Annotated[
        Literal["http", "omadm", "lwm2m"], Parameter(help="What the devices speak.")
    ] = "http",
    flags: RunFlags = RUN,
    fates: FateFlags = FATES,
    told: ToldFlags = TOLD,
    http: HttpFlags = HTTP,
    omadm: OmadmFlags = OMADM,
    lwm2m: Lwm2mFlags = LWM2M,
) -> int:
    """Run simulated devices, with failures, slow links, reboots, and nights without power."""
    if protocol != "http":
        _refuse(http, HTTP, "HTTP")
    else:
        _refuse(told, TOLD, "OMA-DM and LwM2M")
    if protocol != "omadm":
        _refuse(omadm, OMADM, "OMA-DM")
    if protocol != "lwm2m":
        _refuse(lwm2m, LWM2M, "LwM2M")
    if protocol == "omadm":
        return simulate_omadm(url, flags, fates, told, omadm)
    if protocol == "lwm2m":
        return simulate_lwm2m(url, flags, fates, told, lwm2m)
    try:
        options = FleetOptions(
            url=url,
            devices=_devices(flags, http.gateway_token),
            tenant=http.tenant,
            gateway_token=http.gateway_token,
            behaviour=Behaviour(
                download_failure=fates.download_failure,
                corruption=fates.corruption,
                install_failure=fates.install_failure,
                fallback=fates.fallback,
                silence=fates.silence,
                forgetfulness=http.forgetfulness,
                cut=fates.cut,
                cancel_refusal=http.cancel_refusal,
                slow_share=fates.slow,
                slow_bytes_per_s=fates.slow_bytes_per_s,
                poll_interval_s=http.poll_interval,
            ),
            seed=flags.seed,
            connections=flags.connections,
            start_over_s=flags.start_over,
            stop_after_s=flags.duration,
            stop_when=stop_when(flags),
            tls=flags.tls(),
        )
    except (RosterError, ValueError) as error:
        raise CommandError(str(error)) from error
    report = run(
        flags,
        lambda clock, on_progress, stop: run_fleet(options, clock, on_progress, stop=stop),
        picture,
    )
    print_outcome(flags, report.elapsed_s, asdict(report.snapshot))
    return 0


def _refuse(given: Any, default: Any, whose: str) -> None:
    """Whoever gives a flag of the other protocol has not meant this one."""
    for field in fields(given):
        if getattr(given, field.name) != getattr(default, field.name):
            flag = field.name.replace("_", "-")
            raise CommandError(f"--{flag} is for {whose} devices: see --protocol")


def _devices(flags: RunFlags, gateway_token: str | None) -> tuple[SimDevice, ...]:
    if flags.roster is not None:
        return read_roster(flags.roster)
    if gateway_token is None:
        raise CommandError(
            "made-up devices are nobody's: give --roster FILE with their tokens, or"
            " --gateway-token of an account that registers devices by itself"
        )
    return generate_roster(flags.count, seed=flags.seed)


def picture(seen: FleetSnapshot) -> Table:
    """A fleet at one moment."""
    columns = {
        "polls": seen.polls,
        "offered": seen.offered,
        "downloading": seen.downloading,
        "installing": seen.installing + seen.rebooting,
        "updated": seen.updated,
        "failed": seen.failed,
        "errors": seen.errors,
    }
    return draw("", seen, columns)
