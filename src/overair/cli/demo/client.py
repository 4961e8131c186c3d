"""The operator's side of the demo: a small client of the public API, v2 and v1, over HTTP.

It does what the published client libraries do: a bearer token, a session, JSON. Nothing in the demo
reaches around it to make a campaign or to read a report.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from overair.cli.demo.ledger import Standing

_TIMEOUT_S: Final = 30.0


class ApiError(Exception):
    """A call that was refused."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who calls."""

    account: str
    key: str
    secret: str
    username: str
    password: str


class Operator:
    """A user of the management API, between ``async with`` and its end."""

    def __init__(self, base: str, login: Login) -> None:
        self.base = base
        self.account = login.account
        self._login = login
        self.bearer = ""
        self.session = ""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def sign_in(self) -> None:
        """A bearer token, and a session for it."""
        login = self._login
        token = await self._call(
            "POST",
            "/api/ts/v1/oauth2/token",
            data={"grant_type": "client_credentials"},
            authorization=aiohttp.encode_basic_auth(login.key, login.secret),
        )
        self.bearer = token["access_token"]
        opened = await self._call(
            "POST",
            "/api/m2m/v1/session/login",
            json={"username": login.username, "password": login.password},
        )
        self.session = opened["sessionToken"]

    async def call(self, method: str, path: str, body: Any = None, *, version: int = 2) -> Any:
        """A call of the management API; ``{}`` in ``path`` is the account. Raises ApiError."""
        return await self._call(
            method, f"/api/fota/v{version}{path.replace('{}', self.account)}", json=body
        )

    async def schedule(self, body: dict[str, Any]) -> str:
        """Schedule software; the campaign's id."""
        made = await self.call("POST", "/campaigns/software/{}", body)
        return str(made["id"])

    async def status(self, campaign_id: str) -> str:
        """The campaign's status."""
        found = await self.call("GET", f"/campaigns/{{}}/{campaign_id}")
        return str(found["status"])

    async def report(self, campaign_id: str) -> dict[str, Standing]:
        """Where each device of the campaign is, page by page."""
        devices: dict[str, Standing] = {}
        path, cursor = f"/reports/{{}}/campaigns/{campaign_id}/devices", ""
        while True:
            page = await self.call("GET", path + cursor)
            for item in page["deviceList"]:
                devices[item["deviceId"]] = Standing(item["status"], item["resultReason"])
            if not page["hasMoreData"]:
                return devices
            cursor = f"?lastSeenDeviceId={page['lastSeenDeviceId']}"

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: dict[str, str] | None = None,
        authorization: str = "",
    ) -> Any:
        headers = {}
        if authorization:
            headers["Authorization"] = authorization
        elif self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer}"
        if self.session:
            headers["VZ-M2M-Token"] = self.session
        async with self._http.request(
            method, self.base + path, json=json, data=data, headers=headers
        ) as response:
            answer = await response.json(content_type=None)
            if response.status != 200:
                raise ApiError(
                    response.status,
                    str(answer.get("errorCode") or answer.get("error")),
                    str(answer.get("errorMessage") or answer.get("error_description")),
                )
            return answer
