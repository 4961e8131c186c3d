"""What to try next: lines that work as they stand, while the demo is up."""

import os
import shutil
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from overair.cli.demo import world as cast
from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import INSTALL_FAILED, SUCCESS
from overair.cli.demo.outcome import Outcome
from overair.cli.demo.pushed import spare_file
from overair.cli.demo.world import ACCOUNT, ALIAS, NEXT, TO, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something to try."""

    title: str
    lines: tuple[str, ...]


def _command() -> str:
    """How to call this program from here: the one beside the running interpreter."""
    program = Path(sys.executable).with_name("overair")
    found = shutil.which("overair")
    if found is not None and Path(found).resolve() == program.resolve():
        return "overair"
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)


def topics(
    world: World, operator: Operator, outcome: Outcome, directory: Path, today: date, token: str
) -> list[Topic]:
    """Everything to try, for a demo that is up; ``token`` is the network's."""
    chapters = outcome.chapters
    model = world.models[0]
    full = next(c for c in reversed(chapters) if c.view.model == model.name)
    updated = [imei for imei, s in sorted(full.view.report.items()) if s.status == SUCCESS]
    # Not one that had no time left to install: it may do so while this is read, and is believed.
    failed = [imei for imei, s in sorted(full.view.report.items()) if s.reason == INSTALL_FAILED]
    shown = (failed or updated)[0]
    command = _command()
    base, v2 = operator.base, f"{operator.base}/api/fota/v2"
    auth = f'-H "Authorization: Bearer {operator.bearer}" -H "VZ-M2M-Token: {operator.session}"'
    pilots = ",".join(f'"{imei}"' for imei in updated[: cast.PILOT])
    body = (
        f'{{"campaignName":"Mine","softwareName":"{cast.next_package(model)}",'
        f'"softwareFrom":"{TO}","softwareTo":"{NEXT}","distributionType":"HTTP",'
        f'"startDate":"{today}","endDate":"{today + timedelta(days=1)}",'
        f'"deviceList":[{pilots}]}}'
    )
    mine = world.mine
    certificate = directory / "any.pem"
    return [
        Topic(
            title="Ask the API (the token lasts an hour, the session 20 idle minutes)",
            lines=(
                f"curl -s {auth} {v2}/reports/{ACCOUNT}/campaigns/{full.view.id}/devices",
                f"curl -s {auth} {v2}/reports/{ACCOUNT}/devices/{shown}",
                f"curl -s {auth} '{v2}/reports/{ACCOUNT}/campaigns?campaignStatus=CampaignEnded'",
            ),
        ),
        Topic(
            title="… and for a new token",
            lines=(
                (
                    f"curl -s -u {cast.KEY}:{cast.SECRET} -d grant_type=client_credentials"
                    f" {base}/api/ts/v1/oauth2/token"
                ),
            ),
        ),
        Topic(
            title=f"Run a campaign of your own, {TO} to {NEXT}: devices now ask every ten seconds",
            lines=(
                f"curl -s {auth} -d '{body}' {v2}/campaigns/software/{ACCOUNT}",
                f"{command} campaign list --data {directory}",
                f"{command} campaign watch --data {directory} ID",
            ),
        ),
        Topic(
            title="Why was this device not updated?" if failed else "What became of this device?",
            lines=(
                f"{command} explain --data {directory} {shown}",
                f"{command} device show --data {directory} {shown}",
            ),
        ),
        *_told_to_come(world, operator, outcome, directory, today, token),
        _in_cells(operator, outcome, directory),
        Topic(
            title="What was told to the callback listener, and is every counter right?",
            lines=(
                f"{command} callbacks --data {directory} --limit 10",
                f"{command} verify --data {directory}",
            ),
        ),
        Topic(
            title=f"Be a device: {mine.controller_id} is yours",
            lines=(
                (
                    f"curl -s -H 'Authorization: TargetToken {mine.token}'"
                    f" {base}/{ALIAS}/controller/v1/{mine.controller_id}"
                ),
            ),
        ),
        Topic(
            title="… with Debian's swupdate, which does not start without a certificate",
            lines=(
                (
                    "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=any -keyout /dev/null"
                    f" -out {certificate}"
                ),
                (
                    f"swupdate -H board:1.0 -k {certificate}"
                    f" -u '-t {ALIAS} -u {base} -i {mine.controller_id} -k {mine.token} -p 5'"
                ),
            ),
        ),
        Topic(
            title="Use the vendor's client for Python",
            lines=(f"pip install sdksio-verizon-apis-sdk && python {cast.sdk_file(directory)}",),
        ),
        Topic(
            title="How it was set up",
            lines=(
                (
                    f"{cast.fleet_file(directory)}, {directory / 'devices.csv'}"
                    f" and {cast.settings_file(directory)}"
                ),
                f"{base}/openapi.json and {base}/metrics",
            ),
        ),
    ]


def _in_cells(operator: Operator, outcome: Outcome, directory: Path) -> Topic:
    """Devices that had their turn slot by slot."""
    v3 = f"{operator.base}/api/fota/v3"
    auth = f'-H "Authorization: Bearer {operator.bearer}" -H "VZ-M2M-Token: {operator.session}"'
    view = outcome.slotted.views[-1]
    shown = max(view.report, key=lambda imei: (view.report[imei].status != SUCCESS, imei))
    return Topic(
        title="What does v3 say of devices in cells? And where is one, and what became of it?",
        lines=(
            f"curl -s {auth} {v3}/campaigns/{ACCOUNT}/{view.id}",
            f"curl -s {auth} {v3}/reports/{ACCOUNT}/campaigns/{view.id}/devices",
            f"{_command()} device show --data {directory} {shown}",
            f"{_command()} explain --data {directory} {shown}",
        ),
    )


def _told_to_come(
    world: World, operator: Operator, outcome: Outcome, directory: Path, today: date, token: str
) -> list[Topic]:
    command = _command()
    v1 = f"{operator.base}/api/fota/v1"
    auth = f'-H "Authorization: Bearer {operator.bearer}" -H "VZ-M2M-Token: {operator.session}"'
    upgrade = outcome.upgrade
    stranger = world.pushed.stranger
    shown = upgrade.sleeper or stranger
    spare = world.pushed.spare
    imeis = ",".join(f'"{device.imei}"' for device in spare)
    body = (
        f'{{"accountName":"{ACCOUNT}","firmwareName":"{cast.pushed_package(TO)}",'
        f'"firmwareTo":"{TO}","startDate":"{today}","deviceList":[{imeis}]}}'
    )
    return [
        Topic(
            title="What became of a device that slept? And of one with a wrong secret?",
            lines=(
                f"curl -s {auth} {v1}/upgrades/{ACCOUNT}/upgrade/{upgrade.view.id}",
                f"curl -s {auth} {v1}/reports/{ACCOUNT}/devices/{shown}",
                f"{command} explain --data {directory} {shown}",
                f"{command} explain --data {directory} {stranger}",
            ),
        ),
        Topic(
            title="Say as the network would that it is there: it is notified again",
            lines=(
                f"{command} network attach --data {directory} {stranger}",
                f"{command} network show --data {directory} {stranger}",
            ),
        ),
        Topic(
            title=f"Notify {len(spare)} devices that are switched off, and then switch them on",
            lines=(
                f"curl -s {auth} -d '{body}' {v1}/upgrades",
                (
                    f"{command} simulate --protocol omadm {operator.base}"
                    f" --roster {spare_file(directory)} --network-token {token} --becomes {TO}"
                    f" --rate 20 --until-updated {len(spare)}"
                ),
            ),
        ),
    ]
