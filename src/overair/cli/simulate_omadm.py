"""``overair simulate --protocol omadm``: a fleet of OMA-DM devices against any OMA-DM server."""

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
from overair.sim.omadm.fleet import FleetOptions, run_fleet
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import (
    PUSH_PORT,
    OmadmDevice,
    generate_roster,
    read_device,
    read_roster,
)
from overair.sim.omadm.tally import FleetSnapshot
from overair.sim.roster import RosterError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OmadmFlags:
    """What only OMA-DM devices have."""

    server_id: Annotated[str, Parameter(help="OMA-DM: the server's ServerID.")] = "overair"
    network_token: Annotated[
        str | None,
        Parameter(help="OMA-DM: an operator's token; the server is told of each attach then."),
    ] = None
    listen: Annotated[
        bool, Parameter(help="OMA-DM: hear notifications over UDP at the devices' addresses.")
    ] = True
    push_port: Annotated[
        int, Parameter(help="OMA-DM: the port at which made-up devices hear notifications.")
    ] = PUSH_PORT
    off_at_night: Annotated[float, Parameter(help="OMA-DM: share of devices off at night.")] = 0.0
    off_for_days: Annotated[
        float, Parameter(help="OMA-DM: share of devices that are off for days at a time.")
    ] = 0.0
    erratic: Annotated[
        float, Parameter(help="OMA-DM: share of devices that come on at random.")
    ] = 0.0
    late: Annotated[
        float, Parameter(help="OMA-DM: share of devices off for their first 5 to 48 hours.")
    ] = 0.0
    lost_report: Annotated[
        float, Parameter(help="OMA-DM: share of attempts that succeed and are never reported.")
    ] = 0.0
    decline: Annotated[
        float, Parameter(help="OMA-DM: share of attempts that the user declines.")
    ] = 0.0
    early_report: Annotated[
        float, Parameter(help="OMA-DM: share of results reported before the restart.")
    ] = 0.0
    double_report: Annotated[
        float, Parameter(help="OMA-DM: share of results that are reported twice.")
    ] = 0.0
    says_downloaded: Annotated[
        float, Parameter(help="OMA-DM: share of attempts that report 255 before they install.")
    ] = 0.0
    wrong_credentials: Annotated[
        float, Parameter(help="OMA-DM: share of devices with a wrong secret of either side.")
    ] = 0.0
    xml: Annotated[
        float, Parameter(help="OMA-DM: share of devices that speak XML; others speak WBXML.")
    ] = 0.0
    boot_session: Annotated[
        float, Parameter(help="OMA-DM: share of devices that call the server at each start.")
    ] = 0.0


DEFAULT = OmadmFlags()


def simulate_omadm(
    url: str, flags: RunFlags, fates: FateFlags, told: ToldFlags, omadm: OmadmFlags
) -> int:
    """Run OMA-DM devices, or write those that were made up to a file."""
    try:
        devices = _devices(flags, omadm)
        if told.write_devices is not None:
            # Secrets are in it.
            write_devices(told, map(_entry, devices), private=True)
            return 0
        options = FleetOptions(
            url=url,
            devices=devices,
            server_id=omadm.server_id,
            network_token=omadm.network_token,
            becomes=told.becomes,
            listens=omadm.listen,
            behaviour=_behaviour(fates, told, omadm),
            seed=flags.seed,
            connections=flags.connections,
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
    except OSError as error:
        # The sockets: a port that somebody has, an address that is none of ours.
        raise CommandError(f"notifications cannot be heard: {error}") from error
    print_outcome(flags, report.elapsed_s, asdict(report.snapshot))
    return 0


def _behaviour(fates: FateFlags, told: ToldFlags, omadm: OmadmFlags) -> Behaviour:
    return Behaviour(
        download_failure=fates.download_failure,
        corruption=fates.corruption,
        install_failure=fates.install_failure,
        fallback=fates.fallback,
        silent_fallback=told.silent_fallback,
        lost_report=omadm.lost_report,
        decline=omadm.decline,
        silence=fates.silence,
        cut=fates.cut,
        says_downloaded=omadm.says_downloaded,
        early_report=omadm.early_report,
        double_report=omadm.double_report,
        off_at_night=omadm.off_at_night,
        off_for_days=omadm.off_for_days,
        erratic=omadm.erratic,
        late=omadm.late,
        odd=told.odd,
        xml=omadm.xml,
        wrong_credentials=omadm.wrong_credentials,
        boot_session=omadm.boot_session,
        slow=fates.slow,
        slow_bytes_per_s=fates.slow_bytes_per_s,
    )


def _devices(flags: RunFlags, omadm: OmadmFlags) -> tuple[OmadmDevice, ...]:
    if flags.roster is None:
        return generate_roster(flags.count, seed=flags.seed, port=omadm.push_port)
    if is_fleet_document(flags.roster):
        return devices_of_document(flags.roster, read_device, "OMA-DM")
    return read_roster(flags.roster)


def _entry(device: OmadmDevice) -> dict[str, Any]:
    omadm: dict[str, Any] = {
        "clientSecret": device.client_secret,
        "serverSecret": device.server_secret,
    }
    if device.address is not None:
        host, port = device.address
        omadm["notify"] = {"host": host, "port": port}
    return {
        "deviceId": device.imei,
        "protocol": "OMADM",
        "make": device.make,
        "model": device.model,
        "version": device.version,
        "licensed": True,
        "omadm": omadm,
    }


def picture(seen: FleetSnapshot) -> Table:
    """A fleet at one moment."""
    columns = {
        "off": seen.off,
        "attaches": seen.attaches,
        "notified": seen.pushes - seen.pushes_lost,
        "sessions": seen.sessions,
        "accepted": seen.accepted,
        "downloading": seen.downloading,
        "installing": seen.installing + seen.rebooting,
        "updated": seen.updated,
        "failed": seen.failed + seen.declined,
        "errors": seen.errors,
    }
    return draw("OMA-DM ", seen, columns)
