"""Operators: people who use the published API, with tokens of their own, at the times of the scenario.

Each step is a call, or a few. What the server acknowledged is written down: it is what it can be held to. A
call without an answer is not repeated: nobody knows whether it was done, as in life.
"""

import asyncio
import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from overair.config import Settings
from overair.engine import buying
from overair.engine.fleet import account_ids
from overair.engine.licenses import Purchase
from overair.simulation.net import BASE, Network, NoAnswerError, Response
from overair.simulation.process import Incarnation
from overair.simulation.scenario import Action, Kind, Step
from overair.simulation.template import (
    ACCOUNT,
    KEY,
    PASSWORD,
    SECRET,
    USER,
    VERSIONS,
    software,
)
from overair.simulation.transcript import Transcript
from overair.store import StoreError

_FORM: Final = "application/x-www-form-urlencoded"
_SERVICE: Final = "Fota"
_ADDED: Final = "AddDeviceSucceed"
TRIES: Final = 30


@dataclass(kw_only=True)
class Asked:
    """A campaign that somebody asked for."""

    name: str
    version: int
    kind: Kind
    to_version: str
    uuid: str
    made_at: datetime
    devices: tuple[str, ...]
    stopped_at: datetime | None = None  # when that was acknowledged
    last_day: str = ""  # as acknowledged last; empty: nobody knows
    appended: set[str] = field(default_factory=set)
    changing: int = 0  # who asked for other dates, and has not been answered


@dataclass
class Ledger:
    """What the server acknowledged."""

    campaigns: dict[str, Asked] = field(default_factory=dict)
    uploaded: list[str] = field(default_factory=list)
    given: Counter[str] = field(default_factory=Counter)  # licences, by device
    taken: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    done: int = 0
    refused: int = 0
    unanswered: int = 0


class Operator:
    """Somebody with a password."""

    def __init__(
        self,
        network: Network,
        transcript: Transcript,
        imeis: dict[str, str],
        seed: int,
        ledger: Ledger,
    ) -> None:
        self._network = network
        self._transcript = transcript
        self._imeis = imeis
        self._seed = seed
        self._ledger = ledger
        self._bearer = ""
        self._session = ""

    # Steps ---------------------------------------------------------------------------------------

    async def carry_out(self, place: str, step: Step) -> None:
        """Do it."""
        dice = Random(f"{self._seed}/operator/{place}")
        self._ledger.acts[step.action.value] += 1
        try:
            await self._do(dice, step)
        except NoAnswerError as error:
            self._ledger.unanswered += 1
            self._transcript.note("operator", f"{step.action} {step.campaign}: {error}")

    async def _do(self, dice: Random, step: Step) -> None:
        match step.action:
            case Action.SCHEDULE:
                await self._schedule(dice, step)
            case Action.STOP | Action.DATES | Action.APPEND | Action.REMOVE | Action.READ:
                asked = self._ledger.campaigns.get(step.campaign)
                if asked is not None:
                    await self._change(dice, step, asked)
            case Action.ASSIGN | Action.UNASSIGN:
                word = "assign" if step.action is Action.ASSIGN else "remove"
                body = {"deviceList": self._devices(step)}
                path = f"/api/fota/v2/licenses/{ACCOUNT}/{word}"
                answer = await self._call(dice, "POST", path, body)
                # Who pays by event only needs none, and is told that all have one.
                if answer is not None and answer["licTotalCount"]:
                    kind = self._ledger.given if word == "assign" else self._ledger.taken
                    kind.update(
                        device["deviceId"]
                        for device in answer["deviceList"]
                        if device["resultReason"] == "Success"
                    )
            case Action.LISTENER:
                url = f"https://listener.test/{step.version}/{step.number}"
                listener: dict[str, Any] = {"url": url}
                if step.version == 1:
                    listener["name"] = _SERVICE
                await self._call(
                    dice, "POST", f"/api/fota/v{step.version}/callbacks/{ACCOUNT}", listener
                )
            case Action.NO_LISTENER:
                end = f"/name/{_SERVICE}" if step.version == 1 else ""
                path = f"/api/fota/v{step.version}/callbacks/{ACCOUNT}{end}"
                await self._call(dice, "DELETE", path)
            case Action.UPLOAD | Action.REPLACE:
                await self._upload(dice, step)
            case Action.SUBSCRIPTION:
                raise AssertionError("that is not done over the API")

    def _devices(self, step: Step) -> list[str]:
        return [self._imeis[name] for name in step.devices if name in self._imeis]

    def _day(self, days: int) -> str:
        return (self._transcript.now() + timedelta(days=days)).date().isoformat()

    async def _schedule(self, dice: Random, step: Step) -> None:
        devices = self._devices(step)
        if not devices or step.campaign in self._ledger.campaigns:
            return
        kind, _, to_version = step.package.partition(":")
        dates: dict[str, Any] = {
            "startDate": self._day(step.first_day),
            "endDate": self._day(step.first_day + step.days - 1),
            "deviceList": devices,
        }
        if step.version == 1:
            path = "/api/fota/v1/upgrades"
            body = {
                "accountName": ACCOUNT,
                "firmwareName": software(kind, to_version),
                "firmwareTo": to_version,
                **dates,
            }
        elif step.version == 3:
            path = f"/api/fota/v3/campaigns/firmware/{ACCOUNT}"
            windows = [{"startTime": str(a), "endTime": str(b)} for a, b in step.download]
            body = {
                "campaignName": step.campaign,
                "firmwareName": software(kind, to_version),
                "firmwareFrom": VERSIONS[VERSIONS.index(to_version) - 1],
                "firmwareTo": to_version,
                "protocol": "LWM2M",
                **dates,
                **({"campaignTimeWindowList": windows} if windows else {}),
            }
        elif kind == "FILE":
            if not self._ledger.uploaded:
                return
            path = f"/api/fota/v2/campaigns/files/{ACCOUNT}"
            name, _, version = self._ledger.uploaded[-1].partition(" ")
            body = {
                "campaignName": step.campaign,
                "fileName": name,
                "fileVersion": version,
                "distributionType": "HTTP",
                **dates,
                **_windows(step),
            }
            kind, to_version = "HTTP", version
        else:
            path = f"/api/fota/v2/campaigns/software/{ACCOUNT}"
            body = {
                "campaignName": step.campaign,
                "softwareName": software(kind, to_version),
                "softwareFrom": VERSIONS[VERSIONS.index(to_version) - 1],
                "softwareTo": to_version,
                "distributionType": "HTTP" if kind == "HTTP" else "OMD-DM",
                **dates,
                **_windows(step),
            }
        answer = await self._call(dice, "POST", path, body)
        if answer is not None:
            self._ledger.campaigns[step.campaign] = Asked(
                name=step.campaign,
                version=step.version,
                kind=Kind(kind),
                to_version=to_version,
                uuid=answer["id"],
                made_at=self._transcript.now(),
                devices=tuple(devices),
                last_day=dates["endDate"],
            )

    async def _change(self, dice: Random, step: Step, asked: Asked) -> None:
        if asked.version == 1:
            path = f"/api/fota/v1/upgrades/{ACCOUNT}/upgrade/{asked.uuid}"
        else:
            path = f"/api/fota/v{asked.version}/campaigns/{ACCOUNT}/{asked.uuid}"
        if step.action is Action.STOP:
            if await self._call(dice, "DELETE", path) is not None:
                asked.stopped_at = asked.stopped_at or self._transcript.now()
        elif step.action is Action.READ:
            await self._call(dice, "GET", path)
        elif step.action is Action.DATES:
            if asked.version != 2:
                return
            shown = await self._call(dice, "GET", path)
            if shown is None:
                return
            body = {
                "startDate": shown["startDate"] if step.number else self._day(step.first_day),
                "endDate": self._day(step.first_day + step.days),
            }
            given = _windows(step)
            for name in ("downloadTimeWindowList", "installTimeWindowList"):
                # Of a campaign that runs windows may be added only, and an empty list is all day.
                kept = shown.get(name, [])
                if not step.number:
                    kept = given.get(name, [])
                elif kept and step.number > 2:
                    kept = [*kept, *given.get(name, [])]
                if kept:
                    body[name] = [
                        {"startTime": str(w["startTime"]), "endTime": str(w["endTime"])}
                        for w in kept
                    ]
            for name in ("downloadAfterDate", "installAfterDate"):
                if name in shown and step.number:
                    body[name] = shown[name]
            await self._give_dates(dice, path, body, asked)
        else:
            devices = self._devices(step)
            if not devices:
                return
            change = {"type": step.action.value, "deviceList": devices}
            answer = await self._call(dice, "PUT", path, change)
            if answer is not None and step.action is Action.APPEND:
                asked.appended.update(_added(asked.version, answer, devices))

    async def _give_dates(
        self, dice: Random, path: str, body: dict[str, Any], asked: Asked
    ) -> None:
        before, asked.last_day = asked.last_day, ""
        asked.changing += 1
        answer = await self._call(dice, "PUT", f"{path}/dates", body)
        asked.changing -= 1
        if not asked.changing:  # else nobody knows whose are the latest, or ever will
            asked.last_day = before if answer is None else body["endDate"]

    async def _upload(self, dice: Random, step: Step) -> None:
        boundary = "simulated"
        parts = {
            "fileVersion": str(step.number),
            "make": "Acme",
            "model": "X1",
            "localTargetPath": "/etc/app.conf",
        }
        text = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in parts.items()
        )
        text += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="fileupload";'
            ' filename="app.conf"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        content = dice.randbytes(700)
        raw = text.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        method = "POST" if step.action is Action.UPLOAD else "PUT"
        answer = await self._call(
            dice,
            method,
            f"/api/fota/v2/files/{ACCOUNT}",
            raw=raw,
            media_type=f"multipart/form-data; boundary={boundary}",
        )
        if answer is not None and method == "POST":
            self._ledger.uploaded.append(f"{answer['fileName']} {answer['fileVersion']}")

    # Calls ---------------------------------------------------------------------------------------

    async def _call(
        self,
        dice: Random,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        media_type: str = "application/json",
    ) -> Any:
        """The answer to a call that was done; None if it was refused. Raises NoAnswerError."""
        for _ in range(TRIES):
            if not self._session:
                await self._sign_in(dice)
            sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
            headers = {
                "Authorization": f"Bearer {self._bearer}",
                "VZ-M2M-Token": self._session,
                "Content-Type": media_type,
            }
            answer = await self._ask(dice, method, path, headers, sent)
            if answer.cut or answer.status == 500:
                raise NoAnswerError(f"{answer.status} {'cut' if answer.cut else ''}")
            if answer.status == 200:
                self._ledger.done += 1
                return json.loads(answer.body)
            if (
                answer.status == 401
                or b"SessionToken" in answer.body
                or b"sessionToken" in answer.body
            ):
                self._session = ""
                continue
            if answer.status == 503:
                # It says that nothing was done, and that it may be asked again.
                await asyncio.sleep(30.0)
                continue
            self._ledger.refused += 1
            self._transcript.note("operator", f"refused: {answer.body[:200]!r}")
            return None
        raise NoAnswerError("tried for long enough")

    async def call(self, dice: Random, method: str, path: str, body: Any = None) -> Any:
        """A call by somebody who looks. Raises NoAnswerError."""
        return await self._call(dice, method, path, body)

    async def _sign_in(self, dice: Random) -> None:
        basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        answer = await self._ask(
            dice,
            "POST",
            "/api/ts/v1/oauth2/token",
            {"Authorization": f"Basic {basic}", "Content-Type": _FORM},
            b"grant_type=client_credentials",
        )
        if answer.status != 200 or answer.cut:
            raise NoAnswerError(f"no token: {answer.status}")
        self._bearer = json.loads(answer.body)["access_token"]
        answer = await self._ask(
            dice,
            "POST",
            "/api/m2m/v1/session/login",
            {"Authorization": f"Bearer {self._bearer}", "Content-Type": "application/json"},
            json.dumps({"username": USER, "password": PASSWORD}).encode(),
        )
        if answer.status != 200 or answer.cut:
            raise NoAnswerError(f"no session: {answer.status}")
        self._session = json.loads(answer.body)["sessionToken"]

    async def _ask(
        self, dice: Random, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> Response:
        answer = await self._network.request("operator", dice, method, BASE + path, headers, body)
        self._transcript.note("operator", f"{method} {path} {answer.status}")
        return answer


def _added(version: int, answer: Any, asked_for: list[str]) -> list[str]:
    """Whom an answer says to be in the campaign; in v2 they are taken in later, and checked then."""
    if version == 2:
        return asked_for
    return [each["deviceId"] for each in answer["deviceList"] if each["status"] == _ADDED]


def _windows(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, windows in (
        ("downloadTimeWindowList", step.download),
        ("installTimeWindowList", step.install),
    ):
        if windows:
            found[name] = [{"startTime": str(a), "endTime": str(b)} for a, b in windows]
    return found


async def subscribe(host: Incarnation, licences: int, terms: str, settings: Settings) -> None:
    """What the owner of the installation does at its command line. Raises StoreError."""
    assert host.server is not None, "only who serves is asked"
    db = host.server.db
    try:
        account_id = (await db.report(account_ids))[ACCOUNT]
        purchase = Purchase(account_id=account_id, purchase_type=terms, license_count=licences)
        await buying.subscribe(db, purchase, settings, host.clock)
    except StoreError:
        return
