"""Whose account a message is about: by its user's name, or else by the device that it comes from.

Users that do not exist, and devices without secrets, are answered like everybody whose credentials are
wrong: from one of a few thousand slots that keep nonces for nobody, by the same statements. So neither an
answer nor its time tells who exists, and strangers cannot fill the database (``oma-dm.md`` 11.2, 11.5).
"""

import hmac
from dataclasses import dataclass, replace

from overair.core.checks import ACTIVE
from overair.core.ids import DeviceId
from overair.devices.dm.stored import decode_knowledge, decode_nonces, encode
from overair.engine.dm_accounts import open_secrets
from overair.protocols.omadm.account import Account, decoy
from overair.protocols.omadm.device_id import IdKind, parse_device_id
from overair.protocols.omadm.exchange import Request
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.syncml import auth
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as store
from overair.store import polls
from overair.store.database import Tx
from overair.store.dm_accounts import Speaking

SLOTS = 4096
MOST_OPENED = 4096  # accounts whose keys are at hand
NOBODY = DeviceId(0)
AUTH = {"basic": auth.BASIC, "md5": auth.MD5, "hmac": auth.MAC}
_PURPOSE = b"overair OMA-DM decoys 1"
_IMEI_DIGITS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who a message says it is from, with everything that is kept; nothing of it is believed yet."""

    row: Speaking | None
    """None: nobody who could have a session."""
    slot: int
    account: Account
    knowledge: Knowledge
    problem: str = ""
    """Why a device that exists can have no session."""


class Accounts:
    """Reads and keeps accounts, with this installation's keys."""

    def __init__(self, seal: Seal, key: bytes, server_id: str) -> None:
        self._seal = seal
        self._key = hmac.digest(key, _PURPOSE, "sha256")
        self._server_id = server_id
        # What was opened lately, for a session has several messages; by what was opened, so that
        # other secrets are other entries.
        self._opened: dict[tuple[DeviceId, str, bytes | None], tuple[str, str]] = {}

    def find(self, tx: Tx, request: Request) -> Speaker:
        """Who it is from. Nobody else changes the device or its account before we are done."""
        device_id = _device_of(tx, request)
        polls.lock_device(tx, device_id)
        row = store.speaking(tx, device_id)
        mark = hmac.digest(
            self._key, (request.user or request.device).encode("utf-8", "surrogatepass"), "sha256"
        )
        slot = int.from_bytes(mark[:4], "big") % SLOTS
        problem = ""
        if row is not None:
            try:
                keys = self._keys_of(row)
            except SealError as error:
                problem = str(error)
            else:
                if keys is not None:
                    return Speaker(
                        row=row,
                        slot=slot,
                        account=_account(row, *keys),
                        knowledge=decode_knowledge(row.knowledge),
                    )
                problem = "its account has not both secrets"
        nobody = decoy(request.user or "", mark.hex())
        nobody = replace(nobody, nonces=decode_nonces(store.decoy(tx, slot)))
        return Speaker(row=None, slot=slot, account=nobody, knowledge=Knowledge(), problem=problem)

    def _keys_of(self, row: Speaking) -> tuple[str, str] | None:
        """The keys of both sides; None: there are not both secrets. Raises SealError."""
        place = (row.device_id, row.client_name, row.secrets)
        keys = self._opened.get(place)
        if keys is None:
            secrets = open_secrets(self._seal, row.device_id, row.secrets)
            if not (secrets.client and secrets.server):
                return None
            client = auth.key(row.client_name, secrets.client)
            keys = client, auth.key(self._server_id, secrets.server)
            if len(self._opened) >= MOST_OPENED:
                del self._opened[next(iter(self._opened))]
            self._opened[place] = keys
        return keys

    def keep(self, tx: Tx, speaker: Speaker, account: Account, knowledge: Knowledge) -> None:
        """Keep what a message changed."""
        if speaker.row is None:
            if account.nonces != speaker.account.nonces:
                store.set_decoy(tx, speaker.slot, encode(account.nonces))
            return
        device_id = speaker.row.device_id
        if account != speaker.account:
            store.set_nonces(
                tx,
                device_id,
                server_nonce=account.nonces.server,
                # That of the server has a column of its own: notifications need it, too.
                nonces=encode(account.nonces.with_server(b"")),
                zero_nonce_session=account.zero_nonce_session,
            )
        if knowledge != speaker.knowledge:
            store.set_knowledge(tx, device_id, encode(knowledge))


def _account(row: Speaking, client_key: str, server_key: str) -> Account:
    return Account(
        device=row.imei,
        user=row.client_name,
        client_key=client_key,
        server_key=server_key,
        auth=AUTH[row.auth or "md5"],
        blocked=not row.active or row.status.lower() != ACTIVE,
        zero_nonce_session=row.zero_nonce_session,
        nonces=decode_nonces(row.nonces).with_server(row.server_nonce),
    )


def _device_of(tx: Tx, request: Request) -> DeviceId:
    """The device whose account it is, or nobody; looked up alike for a name that nobody has."""
    if request.user is not None:
        by_name = store.named(tx, stored_text(request.user))
        if len(by_name) < 2:
            return by_name[0] if by_name else NOBODY
        # A name that many have is as good as none.
    first, last = _imeis(stored_text(request.device))
    return store.device_between(tx, first, last) or NOBODY


def _imeis(uri: str) -> tuple[str, str]:
    """The first and the last IMEI that may be meant; with a software version, the check digit is open."""
    found = parse_device_id(uri)
    if found is None or found.kind is not IdKind.IMEI:
        return uri, uri
    digits = found.digits
    if len(digits) == _IMEI_DIGITS:
        return digits, digits
    return digits[: _IMEI_DIGITS - 1] + "0", digits[: _IMEI_DIGITS - 1] + "9"


def stored_text(text: str) -> str:
    """The text without what a database cannot hold; nothing that was stored has it."""
    return text.replace("\x00", "")
