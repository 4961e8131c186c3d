"""Who is calling, and may they: what happens to a request before its handler (API 2).

Every call but the token endpoints carries a bearer token; every FOTA call a session token beside it.
The network feed has bearer tokens of its own, which open nothing else.
Both are looked up by fingerprint, one point read each. Using a session writes its last use down at
most once a second. Then the handler names the account, and the gate says whether the session's user
has it; an account that does not exist and one that belongs to others get the same answer.

Tokens stay on the wall's clock, however fast campaign time runs. Secrets are checked in threads of
their own, two at a time: each takes 16 MiB and a tenth of a second, and the loop has devices to
answer meanwhile. An unknown name costs the same time as a wrong secret.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import partial
from weakref import WeakValueDictionary

from overair import ids
from overair.api.errors import BearerError
from overair.api.wire import Formats
from overair.clock import Clock
from overair.config import Settings
from overair.core import credentials
from overair.core.credentials import Cost
from overair.core.errors import CredentialsError, Refusal, RequestError, SessionError
from overair.core.identity import Lifetimes, SessionState, Throttle
from overair.core.ids import AccountId, ApplicationId, UserId
from overair.engine import identity as engine
from overair.store import identity as store
from overair.store import operators
from overair.store.database import Database

SESSION_HEADER = "vz-m2m-token"
HASHING_THREADS = 2
# Attempts that wait for a thread; more than a client's patience holds are turned away.
HASHING_QUEUE = 100
# Of one address with one name: as many at once as there are threads, and so many more may wait.
PAIR_QUEUE = HASHING_QUEUE // 2


class Security(Enum):
    """What a call must carry."""

    BASIC = "basic"
    """The application's key and secret, which the handler checks (token endpoints)."""
    BEARER = "bearer"
    SESSION = "session"
    """A bearer token and a session token."""
    OPERATOR = "operator"
    """A bearer token that the operator made (`overair token add`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling. The gate fills in what the call's Security asks for."""

    application_id: ApplicationId | None = None
    user_id: UserId | None = None
    session_token: str = field(default="", repr=False)
    operator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that the caller may use."""

    id: AccountId
    name: str


class _Pair:
    """One address with one name: those of its attempts that are looked at, and those that wait."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(HASHING_THREADS)
        self.present = 0


class Gate:
    """Admits calls, and checks secrets."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        settings: Settings,
        throttle: Throttle | None = None,
        cost: Cost | None = None,
    ) -> None:
        self.clock = clock
        self.formats = Formats.of(settings)
        self.lifetimes = Lifetimes(
            bearer=timedelta(seconds=settings.bearer_token_s),
            session_idle=timedelta(seconds=settings.session_idle_s),
        )
        self.throttle = throttle or Throttle()
        self._db = db
        self._cost = cost or Cost()
        self._threads = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="hashing")
        self._checking = 0
        self._pairs: WeakValueDictionary[tuple[str, str], _Pair] = WeakValueDictionary()
        # Nobody's secret: what an unknown name is compared with, so that it takes as long.
        self._decoy = ""

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def admit(self, headers: Mapping[str, str], security: Security) -> Caller:
        """The caller of a request with these ``headers``, or the error for it."""
        if security is Security.BASIC:
            return Caller()
        if security is Security.OPERATOR:
            return Caller(operator=await self._operator(headers.get("authorization", "")))
        application_id = await self._bearer(headers.get("authorization", ""))
        if security is Security.BEARER:
            return Caller(application_id=application_id)
        token = headers.get(SESSION_HEADER, "")
        user_id = await self._session(token)
        return Caller(application_id=application_id, user_id=user_id, session_token=token)

    async def account(self, caller: Caller, name: str) -> Account:
        """The account that the caller means, if it may use it and the account is active."""
        self.formats.account(name)
        assert caller.user_id is not None, "only calls with a session name accounts"
        found = await self._db.read(store.account_of_user, caller.user_id, name)
        if found is None:
            raise RequestError(Refusal.UNAUTHORIZED_ACCOUNT)
        account_id, active = found
        if not active:
            raise RequestError(Refusal.INACTIVE_ACCOUNT)
        return Account(id=account_id, name=name)

    async def _bearer(self, header: str) -> ApplicationId:
        found = await self._db.read(store.bearer, credentials.fingerprint(_token(header)))
        if found is None or not found.is_valid(self.clock.now()):
            raise BearerError.invalid()
        return found.application_id

    async def _operator(self, header: str) -> str:
        name = await self._db.read(operators.name_of, credentials.fingerprint(_token(header)))
        if name is None:
            raise BearerError.invalid()
        return name

    async def _session(self, token: str) -> UserId:
        if not token:
            raise SessionError(Refusal.SESSION_INVALID)
        session = await self._db.read(store.session, credentials.fingerprint(token))
        now = self.clock.now()
        state = SessionState.ENDED
        if session is not None:
            state = session.state(now, self.lifetimes.session_idle)
        if session is None or state is SessionState.ENDED:
            raise SessionError(Refusal.SESSION_INVALID)
        if state is SessionState.EXPIRED:
            raise SessionError(Refusal.SESSION_EXPIRED)
        if session.should_touch(now):
            await self._db.transact(engine.use_session, session.token_hash, self.lifetimes, now)
        return session.user_id

    async def check(self, address: str, name: str, secret: str, stored: str | None) -> None:
        """Compare ``secret`` with what is ``stored`` for ``name``; None is an unknown name.

        Raises CredentialsError, also after too many failures of that address or name.
        """
        pair = self._pairs.setdefault((address, name), _Pair())
        if self._checking >= HASHING_QUEUE or pair.present >= PAIR_QUEUE:
            raise CredentialsError(Refusal.LOGIN_THROTTLED, retry_after_s=1)
        self._checking += 1
        pair.present += 1
        try:
            # Attempts in flight count as failed ones. So that a client whose workers all log in at
            # once, with the right secret, is not taken for one that guesses, few are in flight.
            async with pair.turn:
                await self._compare(address, name, secret, stored)
        finally:
            self._checking -= 1
            pair.present -= 1

    async def _compare(self, address: str, name: str, secret: str, stored: str | None) -> None:
        now = self.clock.now()
        wait_s = self.throttle.wait_s(address, name, now)
        if wait_s:
            raise CredentialsError(Refusal.LOGIN_THROTTLED, retry_after_s=wait_s)
        self.throttle.attempt(address, name, now)
        if not self._decoy:
            self._decoy = await self.hash(ids.new_token())
        compared = self._decoy if stored is None else stored
        right = await self._in_thread(partial(credentials.verify_secret, secret, compared))
        if not right or stored is None:
            raise CredentialsError
        self.throttle.succeed(address, name)

    async def hash(self, secret: str) -> str:
        """The form in which a new secret is stored."""
        salt = ids.new_bytes(credentials.SALT_BYTES)
        hashed = await self._in_thread(partial(credentials.hash_secret, secret, salt, self._cost))
        assert isinstance(hashed, str)
        return hashed

    async def _in_thread(self, work: partial[str] | partial[bool]) -> str | bool:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _token(header: str) -> str:
    """The token of an ``Authorization`` header."""
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise BearerError.missing()
    return token
