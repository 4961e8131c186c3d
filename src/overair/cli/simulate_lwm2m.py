"""``overair simulate --protocol lwm2m``: a fleet of LwM2M devices in cells, against any LwM2M server."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from overair.cli import CommandError
from overair.cli.simulate_flags import (
    FateFlags,
    RunFlags,
    ToldFlags,
    devices_of_document,
    is_fleet_document,
    print_outcome,
    run,
    stop_when,
    write_devices,
)
from overair.cli.simulate_flags import picture as draw
from overair.sim.lwm2m.fleet import FleetOptions, run_fleet
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import (
    Kinds,
    Lwm2mDevice,
    generate_cells,
    generate_roster,
    read_device,
    read_roster,
)
from overair.sim.lwm2m.tally import FleetSnapshot
from overair.sim.roster import RosterError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Lwm2mFlags:
    """What only LwM2M devices have."""

    cells: Annotated[
        int, Parameter(help="LwM2M: so many made-up cells, over which the devices are spread.")
    ] = 10
    lifetime: Annotated[int, Parameter(help="LwM2M: seconds of a registration.")] = 3600
    awake: Annotated[
        float,
        Parameter(
            help="LwM2M: seconds for which a device in queue mode listens; --rate does not shorten them."
        ),
    ] = 93.0
    ack_timeout: Annotated[
        float,
        Parameter(help="LwM2M: seconds until a message is repeated; --rate does not shorten them."),
    ] = 2.0
    queue: Annotated[float, Parameter(help="LwM2M: share of devices in queue mode.")] = 0.0
    lwm2m10: Annotated[
        float, Parameter(name="--lwm2m-1.0", help="LwM2M: share of devices that speak 1.0.")
    ] = 0.0
    push_only: Annotated[
        float, Parameter(help="LwM2M: share of devices that take images by push only.")
    ] = 0.0
    http_only: Annotated[
        float, Parameter(help="LwM2M: share of devices that fetch images over HTTP only.")
    ] = 0.0
    moving: Annotated[
        float, Parameter(help="LwM2M: share of devices that move, every 4 to 48 hours.")
    ] = 0.0
    unreachable: Annotated[
        float,
        Parameter(help="LwM2M: share of devices that are out of the network for hours at a time."),
    ] = 0.0
    powerless: Annotated[
        float, Parameter(help="LwM2M: share of devices that are off for hours at a time.")
    ] = 0.0
    in_place: Annotated[
        float, Parameter(help="LwM2M: share of devices that update without a restart.")
    ] = 0.0
    unsupported: Annotated[
        float, Parameter(help="LwM2M: share of attempts whose package is not supported.")
    ] = 0.0
    bad_uri: Annotated[
        float, Parameter(help="LwM2M: share of attempts whose address the device refuses.")
    ] = 0.0
    lost_result: Annotated[
        float, Parameter(help="LwM2M: share of attempts that succeed and lose their result.")
    ] = 0.0
    deferral: Annotated[
        float, Parameter(help="LwM2M: share of attempts that the user puts off.")
    ] = 0.0
    early_restart: Annotated[
        float, Parameter(help="LwM2M: share of attempts with a restart before the installation.")
    ] = 0.0


DEFAULT = Lwm2mFlags()


def simulate_lwm2m(
    url: str, flags: RunFlags, fates: FateFlags, told: ToldFlags, lwm2m: Lwm2mFlags
) -> int:
    """Run LwM2M devices, or write those that were made up to a file."""
    try:
        if lwm2m.cells < 1:
            raise ValueError("--cells is at least 1")
        devices = _devices(flags, lwm2m)
        if told.write_devices is not None:
            write_devices(told, map(_entry, devices), private=False)
            return 0
        options = FleetOptions(
            url=url,
            devices=devices,
            cells=generate_cells(lwm2m.cells),
            behaviour=_behaviour(fates, told, lwm2m),
            ack_timeout_s=lwm2m.ack_timeout,
            seed=flags.seed,
            becomes=told.becomes,
            downloads=flags.connections,
            start_over_s=flags.start_over,
            stop_after_s=flags.duration,
            stop_when=stop_when(flags),
            tls=flags.tls(),
        )
    except (RosterError, ValueError) as error:
        raise CommandError(str(error)) from error
    try:
        report = run(
            flags,
            lambda clock, on_progress, stop: run_fleet(options, clock, on_progress, stop=stop),
            picture,
        )
    except (OSError, ValueError) as error:
        # A name that cannot be found, or more sockets than there may be.
        raise CommandError(f"{url}: {error}") from error
    print_outcome(flags, report.elapsed_s, asdict(report.snapshot))
    return 0


def _behaviour(fates: FateFlags, told: ToldFlags, lwm2m: Lwm2mFlags) -> Behaviour:
    return Behaviour(
        download_failure=fates.download_failure,
        corruption=fates.corruption,
        unsupported=lwm2m.unsupported,
        bad_uri=lwm2m.bad_uri,
        install_failure=fates.install_failure,
        fallback=fates.fallback,
        silent_fallback=told.silent_fallback,
        lost_result=lwm2m.lost_result,
        hang=fates.silence,
        deferral=lwm2m.deferral,
        early_restart=lwm2m.early_restart,
        cut=fates.cut,
        moving=lwm2m.moving,
        unreachable=lwm2m.unreachable,
        powerless=lwm2m.powerless,
        odd=told.odd,
        slow=fates.slow,
        slow_bytes_per_s=fates.slow_bytes_per_s,
        in_place=lwm2m.in_place,
    )


def _devices(flags: RunFlags, lwm2m: Lwm2mFlags) -> tuple[Lwm2mDevice, ...]:
    kinds = Kinds(
        lifetime_s=lwm2m.lifetime,
        awake_s=lwm2m.awake,
        queue=lwm2m.queue,
        old=lwm2m.lwm2m10,
        push=lwm2m.push_only,
        http=lwm2m.http_only,
        seed=flags.seed,
    )
    if flags.roster is None:
        return generate_roster(flags.count, kinds=kinds)
    if is_fleet_document(flags.roster):
        return devices_of_document(
            flags.roster, lambda path, row: read_device(path, row, kinds), "LwM2M"
        )
    return read_roster(flags.roster, kinds)


def _entry(device: Lwm2mDevice) -> dict[str, Any]:
    return {
        "deviceId": device.imei,
        "protocol": "LWM2M",
        "make": device.make,
        "model": device.model,
        "version": device.version,
        "licensed": True,
        "lwm2m": {"endpoint": device.name},
    }


def picture(seen: FleetSnapshot) -> Table:
    """A fleet at one moment."""
    columns = {
        "registered": seen.registered,
        "registrations": seen.registrations,
        "updates": seen.updates,
        "moves": seen.moves,
        "attempts": seen.began,
        "transferring": seen.transferring,
        "installing": seen.installing,
        "updated": seen.updated,
        "failed": seen.failed,
        "errors": seen.errors,
    }
    return draw("LwM2M ", seen, columns)
