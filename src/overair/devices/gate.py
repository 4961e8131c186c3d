"""Who is asking? Tenants, tokens and trusted proxies (``http-ddi.md`` 2, 3).

Missing or wrong credentials, an unknown tenant, an unknown device with a token and a device of
another account all get the same 401, so that nobody learns which devices there are. The one
exception is a valid gateway token, which may know: an unknown device is 404, or is registered.

Accounts are few and change seldom: they are read once a second, devices at every request.
"""

import hmac
from datetime import datetime

import msgspec

from overair.artifacts.links import verify
from overair.clock import Clock, SystemClock
from overair.config import Settings
from overair.core.credentials import fingerprint
from overair.core.ids import AccountId
from overair.devices.asgi import Request
from overair.devices.seen import SeenBuffer
from overair.engine.register import register_device
from overair.protocols.ddi.route import MD5SUM, Resource, Route
from overair.protocols.ddi.values import DdiError
from overair.proxy import PROXIED, networks, within
from overair.store import polls
from overair.store.database import Database, to_ms
from overair.store.lookup import DeviceLookup
from overair.store.polls import Device, Tenant

TENANTS_FOR_S = 1.0
NOBODY = AccountId(0)
NO_TOKEN = "0" * 64
_DOWNLOADS = (Resource.ARTIFACT, Resource.ARTIFACT_MD5SUM)


class UnauthorizedError(Exception):
    """The request does not prove who it is from."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """A device that proved to be itself, and its account."""

    device: Device
    tenant: Tenant


class Gate:
    """Knows the accounts, and checks credentials."""

    def __init__(
        self, db: Database, clock: Clock, settings: Settings, seen: SeenBuffer, key: bytes
    ) -> None:
        self._db = db
        self._devices = DeviceLookup(db)
        self._clock = clock
        self._wall = SystemClock()
        self._settings = settings
        self._seen = seen
        self._key = key
        self._blocked = networks(settings.blocked_addresses)
        self._authorities = {name.lower() for name in settings.trusted_authorities}
        self._tenants: dict[str, Tenant] = {}
        self._read_at = float("-inf")

    async def _read_tenants(self) -> None:
        found = await self._db.read(polls.tenants)
        self._read_at = self._wall.monotonic()
        names: dict[str, Tenant] = {}
        if len(found) == 1 and self._settings.default_alias:
            names["default"] = found[0]
        for tenant in found:
            names[tenant.name.lower()] = tenant
            if tenant.alias:
                names[tenant.alias.lower()] = tenant
        self._tenants = {name: tenant for name, tenant in names.items() if tenant.active}

    def is_blocked(self, request: Request) -> bool:
        return bool(self._blocked) and within(request.client, self._blocked)

    def public_url(self, request: Request) -> str:
        """The base URL that the device reaches us under (``http-ddi.md`` 2)."""
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/")
        scheme = str(request.scope.get("scheme", "http"))
        host = request.header(b"host")
        prefix = ""
        if PROXIED in request.scope:
            # Of a chain of proxies the first one tells what the client asked for.
            forwarded = (request.header(b"x-forwarded-host") or "").partition(",")[0].strip()
            host = forwarded or host
            told = (request.header(b"x-forwarded-prefix") or "").partition(",")[0].strip(" /")
            prefix = f"/{told}" if told else ""
        if not host:
            server = request.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
        return f"{scheme}://{host}{prefix}"

    async def admit(self, request: Request, route: Route, now: datetime) -> Caller:
        """Who is asking. Raises UnauthorizedError, DdiError (404 for a gateway's unknown device)."""
        if self._wall.monotonic() - self._read_at >= TENANTS_FOR_S:
            await self._read_tenants()
        tenant = self._tenants.get(route.tenant.lower())
        # Looked up whatever the credentials are: an unknown tenant or device takes as long to refuse.
        account_id = NOBODY if tenant is None else tenant.account_id
        device = await self._devices.find(account_id, route.controller_id)
        authorization = request.header(b"authorization")
        if authorization is None:
            gateway = False
            proven = self._certified(request, route) or self._signed(request, route)
        else:
            scheme, _, token = authorization.partition(" ")
            gateway = scheme.lower() == "gatewaytoken"
            proven = _is_proven(scheme.lower(), token, tenant, device)
        if tenant is None or not proven:
            if device is not None:
                self._seen.note_refused(device.id, to_ms(now))
            raise UnauthorizedError
        if device is None:
            if not gateway:
                raise UnauthorizedError
            device = await self._register(route, tenant, now)
        return Caller(device, tenant)

    async def _register(self, route: Route, tenant: Tenant, now: datetime) -> Device:
        device = None
        if tenant.auto_register or self._settings.auto_register:
            device = await self._db.transact(
                register_device, tenant.account_id, route.controller_id, now
            )
        if device is None:
            raise DdiError("ddi.not_found", "there is no such device", status=404)
        return device

    def _certified(self, request: Request, route: Route) -> bool:
        if not self._authorities or PROXIED not in request.scope:
            return False
        if request.header(b"x-controller-id") != route.controller_id:
            return False
        told: list[str] = []
        for name, value in request.headers.items():
            if name == b"x-authority" or (name.startswith(b"x-authority-") and name[12:].isdigit()):
                told += value.decode("latin-1").replace(";", ",").split(",")
        return any(authority.strip().lower() in self._authorities for authority in told)

    def _signed(self, request: Request, route: Route) -> bool:
        if not self._settings.signed_links or route.resource not in _DOWNLOADS:
            return False
        # A file's link is good for its checksum too.
        path: str = request.scope["path"]
        if route.resource is Resource.ARTIFACT_MD5SUM:
            path = path.rstrip("/").removesuffix(MD5SUM)
        return verify(path, request.query, self._wall.now(), self._key)


def _is_proven(scheme: str, token: str, tenant: Tenant | None, device: Device | None) -> bool:
    """Whether the token is that of the device, or of its account's gateway."""
    expected = None
    if scheme == "targettoken" and device is not None:
        expected = device.token_hash
    elif scheme == "gatewaytoken" and tenant is not None:
        expected = tenant.gateway_token_hash
    # Compared also where there is nothing to compare with, which must not show.
    equal = hmac.compare_digest(expected or NO_TOKEN, fingerprint(token))
    return equal and expected is not None
