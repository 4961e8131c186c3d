"""Who may speak: the account that one device has with this server, and its nonces (oma-dm 11).

The rules, which are all about what a stranger can not do:

- Credentials are right over the stored nonce or over a pending one. Being right spends them all: the
  stored one is replaced, the pending ones are dropped.
- Being wrong changes nothing that anybody needs. Each refusal has a nonce of its own, pending for ten
  minutes; when four are pending the newest is given out again, so no flood of refusals can push out the
  one that the device itself is about to use.
- Nobody learns whether a user exists: an unknown one gets a ``decoy``, which is an account in every way
  but that no credentials are right for it.
- The third refusal in one session is the last; a message 1 begins a new one, so that nobody is locked
  out for good.

Not in here: how often an address may try (the edge counts ``Refused`` events).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from overair.protocols.omadm.task import Server
from overair.protocols.syncml import auth
from overair.protocols.syncml.message import Cred
from overair.protocols.syncml.values import MalformedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A nonce that went out with a refusal: good once, until then."""

    nonce: bytes
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """A session that has not been let in yet, and how often its credentials were wrong."""

    session_id: str
    until: datetime
    wrong: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """What changes of an account; ``server`` is also what the next package 0 is made with."""

    client: bytes = b""
    """For the device's next credentials; we chose it."""
    server: bytes = b""
    """For our next credentials; the device chose it."""
    pending: tuple[Pending, ...] = ()
    refusals: tuple[Refusals, ...] = ()

    def with_server(self, nonce: bytes) -> "Nonces":
        """Return them with another nonce of the device's."""
        return Nonces(
            client=self.client, server=nonce, pending=self.pending, refusals=self.refusals
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One device's account. Keys are ``auth.key(user, password)``, as secret as the passwords."""

    device: str
    """The device it belongs to: its IMEI, as our own records have it."""
    user: str
    client_key: str
    server_key: str
    auth: str = auth.MD5
    """What is demanded: MD5, BASIC (which takes md5 too, and a password only where it is safe) or MAC."""
    blocked: bool = False
    zero_nonce_session: str | None = None
    """A session id whose package 0 went out over the zero nonce (oma-dm 10.1)."""
    nonces: Nonces = Nonces()


def decoy(user: str, key: str) -> Account:
    """Return an account for a user that does not exist; ``key`` is random, so nobody gets in."""
    return Account(device="", user=user, client_key=key, server_key=key)


def is_right(
    account: Account,
    cred: Cred,
    *,
    user: str | None,
    session_id: str,
    secure: bool,
    now: datetime,
) -> bool:
    """Tell whether credentials are this account's, of a type that it takes, over a nonce of now."""
    kind = (cred.meta.type if cred.meta is not None else None) or ""
    if kind.lower() == auth.BASIC.lower():
        return account.auth == auth.BASIC and secure and _is_right_basic(account, cred.data)
    # Every nonce is looked at, whoever it is: the time says nothing.
    right = False
    for nonce in _valid(account, session_id, now):
        right |= auth.same(auth.digest(account.client_key, nonce), cred.data)
    return (
        right
        and kind.lower() == auth.MD5.lower()
        and account.auth != auth.MAC
        and user in {None, account.user}
    )


def is_right_mac(
    account: Account, header: auth.HmacHeader, *, body: bytes, session_id: str, now: datetime
) -> bool:
    """Tell whether a body is vouched for by this account (oma-dm 11.4)."""
    right = False
    for nonce in _valid(account, session_id, now):
        right |= auth.same(auth.mac(account.client_key, nonce, body), header.mac)
    return right and header.username == account.user


def accept(account: Account, fresh: bytes) -> Account:
    """Let it in: every nonce so far is spent, ``fresh`` is the next."""
    return replace(
        account,
        zero_nonce_session=None,
        nonces=Nonces(client=fresh, server=account.nonces.server),
    )


def with_server_nonce(account: Account, nonce: bytes) -> Account:
    """Take the nonce that the device chose for our next credentials."""
    return replace(account, nonces=account.nonces.with_server(nonce))


def refuse(
    account: Account,
    server: Server,
    *,
    session_id: str,
    starts: bool,
    wrong: bool,
    now: datetime,
    fresh: Callable[[], bytes],
) -> tuple[Account, bytes]:
    """Do not let it in; return the nonce that its next credentials may be over."""
    until = now + server.challenge_life
    pending = tuple(each for each in account.nonces.pending if now < each.until)
    if len(pending) < server.challenges:
        given = Pending(nonce=fresh(), until=until)
        pending = (*pending, given)
    else:
        given = replace(pending[-1], until=until)
        pending = (*pending[:-1], given)
    before = 0 if starts else strikes(account, session_id, now)
    others = tuple(
        each
        for each in account.nonces.refusals
        if now < each.until and each.session_id != session_id
    )
    this = Refusals(session_id=session_id, until=until, wrong=before + wrong)
    nonces = replace(
        account.nonces, pending=pending, refusals=(*others[1 - server.challenges :], this)
    )
    return replace(account, nonces=nonces), given.nonce


def strikes(account: Account, session_id: str, now: datetime) -> int:
    """Return how often this session's credentials were wrong."""
    found = _refusals(account, session_id, now)
    return 0 if found is None else found.wrong


def was_refused(account: Account, session_id: str, now: datetime) -> bool:
    """Tell whether this session was asked for credentials and has not given right ones since."""
    return _refusals(account, session_id, now) is not None


def demanded(account: Account, *, secure: bool) -> str:
    """Return the type of credentials to ask for: never a password in the open."""
    return auth.MD5 if account.auth == auth.BASIC and not secure else account.auth


def _refusals(account: Account, session_id: str, now: datetime) -> Refusals | None:
    for each in account.nonces.refusals:
        if each.session_id == session_id and now < each.until:
            return each
    return None


def _valid(account: Account, session_id: str, now: datetime) -> list[bytes]:
    """Return the nonces that credentials may be over now."""
    nonces = account.nonces
    valid = [nonces.client, *(each.nonce for each in nonces.pending if now < each.until)]
    if account.zero_nonce_session is not None and account.zero_nonce_session == session_id:
        valid.append(auth.ZERO_NONCE)
    return valid


def _is_right_basic(account: Account, data: str) -> bool:
    try:
        user, password = auth.read_basic(data)
    except MalformedError:
        return False
    # The key holds the user's name as well.
    return auth.same(account.client_key, auth.key(user, password)) and user == account.user
