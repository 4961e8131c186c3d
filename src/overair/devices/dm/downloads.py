"""What a device is told to fetch: a descriptor or the package itself, and where it says how that went.

An address is good for one attempt, and as long as that is under way: it holds the attempt's id and an
HMAC of it under a key that is derived from the installation's, so nothing is stored for it and nobody can
guess one. It is the same in each session of the attempt, and so are the bytes behind it, so a download may
be resumed after hours (``oma-dm.md`` 11.5, 13).

What a device posts about its installation carries no credentials but that address, so it moves progress
and never an outcome, and is always answered alike.
"""

from datetime import datetime
from typing import Final

import structlog

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId
from overair.devices.asgi import (
    Answer,
    DisconnectError,
    Request,
    Send,
    Slow,
    SlowError,
    TooLargeError,
)
from overair.devices.sending import Sending
from overair.devices.tokens import AttemptTokens
from overair.engine import push
from overair.engine.outcome import note_bytes
from overair.engine.push import Job
from overair.protocols.dlota import (
    MEDIA_TYPE,
    Descriptor,
    DlotaError,
    InstallStatus,
    encode_descriptor,
    read_install_status,
)
from overair.store import polls
from overair.store import push as pushed
from overair.store.database import Database, StoreError, Tx
from overair.store.polls import Deployment

log = structlog.get_logger()

NO_STORE: Final = ((b"cache-control", b"no-store"),)
STATUS_BYTES: Final = 4096
_PURPOSE: Final = b"overair OMA-DM download 1"
_AT_WORK: Final = (AttemptState.RUNNING, AttemptState.DOWNLOADED)


class Downloads:
    """The download addresses of one server."""

    def __init__(self, db: Database, settings: Settings, key: bytes, sending: Sending) -> None:
        self._db = db
        self._settings = settings
        self._tokens = AttemptTokens(key, _PURPOSE)
        self._sending = sending

    def url_of(self, base: str, job: Job, delivery: str) -> str:
        """What goes into PkgURL."""
        kind = "package" if delivery == "direct" else "dd"
        return f"{base}/{kind}/{self._tokens.of(job.attempt_id)}"

    async def descriptor(self, base: str, token: str) -> Answer:
        """What there is to download."""
        found = await self._open(token)
        if isinstance(found, Answer):
            return found
        descriptor = Descriptor(
            size_bytes=found.size_bytes,
            object_url=f"{base}/package/{token}",
            name=found.name,
            version=found.version,
            install_notify_url=f"{base}/notify/{token}",
        )
        try:
            body = encode_descriptor(descriptor)
        except DlotaError as error:
            # Only by the Host that the device asked for: our own parts are short.
            log.warning("a descriptor cannot be made", attempt=found.attempt_id, error=str(error))
            return Answer(400, headers=NO_STORE)
        return Answer(200, body, MEDIA_TYPE.encode(), NO_STORE)

    async def package(
        self, request: Request, send: Send, token: str, now: datetime
    ) -> Answer | None:
        """Send the package, or say why not."""
        found = await self._open(token)
        if isinstance(found, Answer):
            return found

        async def note(start: int, end: int) -> None:
            await self._db.transact_brief(
                note_bytes,
                found.device_id,
                found.attempt_id,
                ((start, end),),
                found.size_bytes,
                self._settings,
                now,
                guarded=False,
            )

        return await self._sending.serve(
            request,
            send,
            device_id=found.device_id,
            sha256=found.sha256,
            file_name=found.file_name,
            stored_at=found.stored_at,
            # Who looks before it was told to download has not begun.
            note=note if found.state in _AT_WORK else None,
        )

    async def _open(self, token: str) -> Deployment | Answer:
        """The attempt of an address, if it is under way."""
        attempt_id = self._tokens.attempt_of(token)
        found = None if attempt_id is None else await self._db.read(polls.deployment, attempt_id)
        if found is None:
            return Answer(404, headers=NO_STORE)
        if found.state not in (AttemptState.OFFERED, *_AT_WORK):
            return Answer(410, headers=NO_STORE)
        return found

    async def install_status(
        self, request: Request, token: str, now: datetime, slow: Slow
    ) -> Answer:
        """Take what the device says of its download; nobody learns anything from the answer."""
        try:
            body = await request.body(STATUS_BYTES, slow)
        except (TooLargeError, SlowError, DisconnectError):
            body = b""
        attempt_id = self._tokens.attempt_of(token)
        code = read_install_status(body)
        if attempt_id is not None and code is not None:
            try:
                await self._db.transact(note_install_status, attempt_id, code, self._settings, now)
            except StoreError as error:
                log.error("an install status could not be noted", error=str(error))
        return Answer(200, headers=NO_STORE)


def note_install_status(
    tx: Tx, attempt_id: AttemptId, code: int, settings: Settings, now: datetime
) -> None:
    """Progress of an attempt that is under way; of others, nothing."""
    found = polls.deployment(tx, attempt_id)
    own = pushed.find(tx, attempt_id)
    if found is None or own is None:
        return
    job = push.job_by_correlator(tx, found.device_id, own.correlator, settings, now)
    if job is None or job.state not in _AT_WORK:
        return
    try:
        status = InstallStatus(code)
    except ValueError:
        push.note(tx, job, settings, now, code=code, text="install status")
        return
    text = f"install status: {status.meaning}"
    if status is InstallStatus.SUCCESS:
        push.downloaded(tx, job, settings, now, code=code, text=text)
        return
    if status.is_ours:
        log.warning("a device cannot use a download", attempt=attempt_id, status=status.meaning)
    push.note(tx, job, settings, now, code=code, text=text)
