"""Whose account a message is about: by its user's name, or else by the device that it comes from.

Users that do not exist, and devices without secrets, are answered like everybody whose credentials are
wrong: from one of a few thousand slots that keep nonces for nobody, by the same statements. So neither an
answer nor its time tells who exists, and strangers cannot fill the database (``oma-dm.md`` 11.2, 11.5).
"""

import hmac
from dataclasses import dataclass, replace

from overair.core.checks import ACTIVE
from overair.core.ids import DeviceId
from overair.engine.dm_accounts import open_secrets
from overair.protocols.omadm.account import Account, decode_nonces, decoy, encode_nonces
from overair.protocols.omadm.device_id import IdKind, parse_device_id
from overair.protocols.omadm.exchange import Request
from overair.protocols.omadm.knowledge import Knowledge, decode_knowledge, encode_knowledge
from overair.protocols.syncml import auth
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as store
from overair.store import polls
from overair.store.database import Tx
from overair.store.dm_accounts import DmAccount

SLOTS = 4096
NOBODY = DeviceId(0)
AUTH = {"basic": auth.BASIC, "md5": auth.MD5, "hmac": auth.MAC}
_PURPOSE = b"overair OMA-DM decoys 1"
_IMEI_DIGITS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who a message says it is from, with everything that is kept; nothing of it is believed yet."""

    row: DmAccount | None
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

    def find(self, tx: Tx, request: Request) -> Speaker:
        """Who it is from. Nobody else changes the device or its account before we are done."""
        device_id = _device_of(tx, request)
        polls.lock_device(tx, device_id)
        row = store.of_device(tx, device_id, lock=True)
        mark = hmac.digest(
            self._key, (request.user or request.device).encode("utf-8", "surrogatepass"), "sha256"
        )
        slot = int.from_bytes(mark[:4], "big") % SLOTS
        problem = ""
        if row is not None:
            try:
                secrets = open_secrets(self._seal, row.device_id, row.terms.secrets)
            except SealError as error:
                problem = str(error)
            else:
                if secrets.client and secrets.server:
                    account = self._account(row, secrets.client, secrets.server)
                    knowledge = decode_knowledge(row.knowledge)
                    return Speaker(row=row, slot=slot, account=account, knowledge=knowledge)
                problem = "its account has not both secrets"
        nobody = decoy(request.user or "", mark.hex())
        nobody = replace(nobody, nonces=decode_nonces(store.decoy(tx, slot)))
        return Speaker(row=None, slot=slot, account=nobody, knowledge=Knowledge(), problem=problem)

    def _account(self, row: DmAccount, client_secret: str, server_secret: str) -> Account:
        return Account(
            device=row.imei,
            user=row.terms.client_name,
            client_key=auth.key(row.terms.client_name, client_secret),
            server_key=auth.key(self._server_id, server_secret),
            auth=AUTH[row.terms.auth or "md5"],
            blocked=not row.active or row.status.lower() != ACTIVE,
            zero_nonce_session=row.zero_nonce_session,
            nonces=replace(decode_nonces(row.nonces), server=row.server_nonce),
        )

    def keep(self, tx: Tx, speaker: Speaker, account: Account, knowledge: Knowledge) -> None:
        """Keep what a message changed."""
        if speaker.row is None:
            if account.nonces != speaker.account.nonces:
                store.set_decoy(tx, speaker.slot, encode_nonces(account.nonces))
            return
        device_id = speaker.row.device_id
        if account != speaker.account:
            store.set_nonces(
                tx,
                device_id,
                server_nonce=account.nonces.server,
                nonces=encode_nonces(replace(account.nonces, server=b"")),
                zero_nonce_session=account.zero_nonce_session,
            )
        if knowledge != speaker.knowledge:
            store.set_knowledge(tx, device_id, encode_knowledge(knowledge))


def _device_of(tx: Tx, request: Request) -> DeviceId:
    """The device whose account it is, or nobody."""
    by_name = store.named(tx, stored_text(request.user or ""))
    first, last = _imeis(stored_text(request.device))
    by_device = store.device_between(tx, first, last)
    if request.user is None or len(by_name) > 1:
        # A name that many have is as good as none.
        return by_device or NOBODY
    return by_name[0] if by_name else NOBODY


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
