"""Our own server under measurement, handled only from outside: the command line fills it, the public API drives it.

The update run follows the pilot rule like everybody: a pilot campaign of twenty devices first, then the full one. After
it the campaign's own report is read page by page, and `overair verify` recounts every counter of the live database.
"""

import base64
import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.process import Server, free_port, serving

COMMAND = Path(sys.executable).with_name("overair")
ACCOUNT = "0000123456-00001"
TENANT = "bench"
KEY, SECRET = "bench-key", "bench-secret"
USER, PASSWORD = "bench", "bench-pass"
PACKAGE = "FOTA_Acme_X1_01To02"
CAMPAIGN_WAIT_S = 60.0
# What every fleet file begins with: an account that may do everything, and who may ask for it.
ADMINISTRATION: dict[str, Any] = {
    "accounts": [
        {
            "name": ACCOUNT,
            "alias": TENANT,
            "subscription": {"purchaseType": "TS-HFOTA-MRC", "licenseCount": 1_000_000},
        }
    ],
    "applications": [{"key": KEY, "secret": SECRET}],
    "users": [{"username": USER, "password": PASSWORD, "accounts": [ACCOUNT]}],
}


class RunError(Exception):
    """The server did not do what the measurement needs."""


def available() -> str:
    """Return what stands in the way of measuring, or nothing."""
    return "" if COMMAND.exists() else f"{COMMAND} is not there: make setup"


def fill(data: Path, fleet: Path, image: Path) -> float:
    """Import the fleet through the command line; return the seconds it took."""
    data.mkdir()
    lines = data / "devices.ndjson"
    with fleet.open() as source, lines.open("w") as out:
        for line in source:
            device = {
                "account": ACCOUNT,
                "deviceId": line[:15],
                "make": "Acme",
                "model": "X1",
                "protocol": "HTTP",
                "version": "01",
                "licensed": True,
                "ddi": {"token": line[16:48]},
            }
            out.write(json.dumps(device) + "\n")
    document = ADMINISTRATION | {
        "packages": [
            {
                "name": PACKAGE,
                "protocol": "HTTP",
                "make": "Acme",
                "model": "X1",
                "from": "01",
                "to": "02",
                "launchDate": "2026-01-01",
                "file": str(image),
            }
        ],
        "devicesFile": lines.name,
    }
    file = data / "fleet.json"
    file.write_text(json.dumps(document))
    started = time.perf_counter()
    command(data, "import", str(file))
    return time.perf_counter() - started


@contextlib.contextmanager
def running(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run one server process on SQLite; the environment may have settings of it."""
    port = free_port()
    command = [str(COMMAND), "serve", "--data", str(data), "--http", f"127.0.0.1:{port}"]
    with serving(
        "overair", command, port=port, cwd=data, environment=environment or {}, probe="/readyz"
    ) as server:
        yield server


def verify(data: Path) -> str:
    """Recount the live database; return the first complaint, or nothing."""
    try:
        command(data, "verify")
    except RunError as error:
        return str(error)
    return ""


class Api:
    """The management API, as far as the measurement needs it."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api"
        basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}"}
        token = self.call(
            "POST", "/ts/v1/oauth2/token", {"grant_type": "client_credentials"}, form=True
        )
        self._headers = {"Authorization": f"Bearer {token['access_token']}"}
        session = self.call(
            "POST", "/m2m/v1/session/login", {"username": USER, "password": PASSWORD}
        )
        self._headers["VZ-M2M-Token"] = session["sessionToken"]

    def start_campaign(self, devices: list[str]) -> str:
        """Create an on-demand campaign and wait until it runs."""
        today = datetime.now(UTC).date()
        campaign = self.call(
            "POST",
            f"/fota/v2/campaigns/{ACCOUNT}",
            {
                "campaignName": "bench",
                "softwareName": PACKAGE,
                "softwareFrom": "01",
                "softwareTo": "02",
                "distributionType": "HTTP",
                "startDate": today.isoformat(),
                "endDate": (today + timedelta(days=7)).isoformat(),
                "deviceList": devices,
            },
        )
        identity = str(campaign["id"])
        deadline = time.monotonic() + CAMPAIGN_WAIT_S
        while campaign["status"] != "CampaignScheduled":
            if time.monotonic() > deadline or "Failed" in campaign["status"]:
                raise RunError(f"the campaign is {campaign['status']}, not running")
            time.sleep(0.1)
            campaign = self.call("GET", f"/fota/v2/campaigns/{ACCOUNT}/{identity}")
        return identity

    def start_upgrade(self, firmware: str, version: str, devices: list[str]) -> str:
        """Schedule an upgrade of v1 for today and wait until it has begun."""
        upgrade = self.call(
            "POST",
            "/fota/v1/upgrades",
            {
                "accountName": ACCOUNT,
                "firmwareName": firmware,
                "firmwareTo": version,
                "startDate": datetime.now(UTC).date().isoformat(),
                "deviceList": devices,
            },
        )
        identity = str(upgrade["id"])
        deadline = time.monotonic() + CAMPAIGN_WAIT_S
        while upgrade["status"] != "InProgress" or any(
            device["status"] == "RequestPending" for device in upgrade["deviceList"]
        ):
            if time.monotonic() > deadline:
                raise RunError(f"the upgrade is {upgrade['status']}, its devices are not ready")
            time.sleep(0.5)
            upgrade = self.call("GET", f"/fota/v1/upgrades/{ACCOUNT}/upgrade/{identity}")
        return identity

    def outcome(self, campaign: str, *, version: int = 2) -> Counter[str]:
        """Count a campaign's devices by status, from its report."""
        counts: Counter[str] = Counter()
        path = f"/fota/v{version}/reports/{ACCOUNT}/campaigns/{campaign}/devices"
        page = self.call("GET", path)
        while True:
            counts.update(str(device["status"]) for device in page["deviceList"])
            if not page["hasMoreData"]:
                return counts
            page = self.call("GET", f"{path}?lastSeenDeviceId={page['lastSeenDeviceId']}")

    def check_ins(self, device: str) -> int:
        """Return how many check-ins the history of a device shows."""
        return len(self.call("GET", f"/fota/v2/logging/{ACCOUNT}/devices/{device}/checkInHistory"))

    def call(self, method: str, path: str, body: Any = None, *, form: bool = False) -> Any:
        """Ask for anything else. Raises RunError."""
        data = None
        headers = dict(self._headers)
        if body is not None:
            data = (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
            headers["Content-Type"] = (
                "application/x-www-form-urlencoded" if form else "application/json"
            )
        request = urllib.request.Request(
            self._base + path, data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RunError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error


def command(data: Path, *arguments: str) -> None:
    """Run the command line. Raises RunError."""
    done = subprocess.run(
        [str(COMMAND), *arguments, "--data", str(data)],
        cwd=data,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode != 0:
        text = (done.stderr or done.stdout).strip()
        raise RunError(f"overair {arguments[0]} ended with {done.returncode}: {text[-800:]}")
