"""Notifications as SMS, through an SMS centre (SMPP 3.4; ``oma-dm.md`` 10.2).

One message each: the port header and the WSP push as 8-bit user data, for as long as the window is open.
The centre keeps it for a device that is off, so the repeats of the window are only for what it loses.

The connection is kept by a task of its own, which connects again after a pause that grows. While there is
none, every notification is answered with ``LATER`` at once. That the centre is away is logged once, and
so is its return.
"""

import asyncio
import re
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import structlog
from smpplib import consts

from overair.config import ConfigError, Smpp
from overair.protocols.syncml.notification import sms_user_data
from overair.protocols.syncml.values import UnencodableError
from overair.push.smpp_session import (
    SmppError,
    SmppSession,
    Submission,
    Timers,
    describe,
    open_session,
)
from overair.push.transport import Contact, Sent

WINDOW: Final = 20  # submissions that wait for their answers
LONGEST: Final = timedelta(days=28)  # what every centre can be asked for

# The centre's fault, or haste of ours; whatever else it says is about the message or its number.
_PASSING: Final = frozenset(
    {
        consts.SMPP_ESME_RSYSERR,
        consts.SMPP_ESME_RMSGQFUL,
        consts.SMPP_ESME_RTHROTTLED,
        consts.SMPP_ESME_RINVBNDSTS,
        consts.SMPP_ESME_RX_T_APPN,
    }
)
_NUMBER: Final = re.compile(r"\+?[0-9]{3,20}")
_PUNCTUATION: Final = re.compile(r"[\s().-]")

log = structlog.get_logger()


class SmppTransport:
    """Sends notifications by SMS."""

    name = "smpp"

    def __init__(self, settings: Smpp, timers: Timers | None = None) -> None:
        if not settings.host:
            raise ConfigError("settings: omadm.smpp.host: notify = smpp needs an SMS centre")
        self._settings = settings
        self._timers = timers or Timers()
        self._session: SmppSession | None = None
        self._window = asyncio.Semaphore(WINDOW)
        self._keeper: asyncio.Task[None] | None = None
        source = _bare(settings.source)
        self._source = source if _NUMBER.fullmatch(source) else settings.source

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def send(self, contact: Contact, package: bytes, validity: timedelta) -> Sent:
        """Submit one SMS, and wait for what the centre says."""
        number = _bare(contact.mdn)
        if not number:
            return Sent.NO_ADDRESS
        if not _NUMBER.fullmatch(number):
            return Sent.REFUSED
        try:
            user_data = sms_user_data(package)
        except UnencodableError:
            return Sent.REFUSED
        async with self._window:
            session = self._session
            if session is None:
                return Sent.LATER
            try:
                status = await session.submit(self._submission(number, user_data, validity))
            except SmppError:
                return Sent.LATER  # the keeper says why
        if status == consts.SMPP_ESME_ROK:
            return Sent.SENT
        log.debug("an SMS was not taken", imei=contact.imei, status=describe(status))
        return Sent.LATER if status in _PASSING else Sent.REFUSED

    def _submission(self, number: str, user_data: bytes, validity: timedelta) -> Submission:
        number_ton, number_npi = _kind(number)
        source_ton, source_npi = _kind(self._source)
        return Submission(
            source=self._source.removeprefix("+"),
            source_ton=source_ton,
            source_npi=source_npi,
            number=number.removeprefix("+"),
            number_ton=number_ton,
            number_npi=number_npi,
            validity=relative(validity),
            user_data=user_data,
        )

    async def _keep(self) -> None:
        """Stay connected, until cancelled."""
        pause_s = self._timers.first_pause_s
        down = False
        place = f"{self._settings.host}:{self._settings.port}"
        while True:
            try:
                session = await open_session(self._settings, self._timers)
                try:
                    self._session = session
                    pause_s = self._timers.first_pause_s
                    down = False
                    log.info("the SMS centre takes messages", address=place)
                    await session.run()
                except asyncio.CancelledError:
                    self._session = None
                    await session.close()
                    raise
            except SmppError as error:
                if not down:
                    log.warning("the SMS centre is away", address=place, error=str(error))
                down = True
            except Exception:
                # A bug of ours, in one session. Without a keeper there would never be another.
                log.exception("the session with the SMS centre failed", address=place)
            finally:
                self._session = None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._timers.longest_pause_s)


def _bare(number: str) -> str:
    return _PUNCTUATION.sub("", number)


def _kind(number: str) -> tuple[int, int]:
    """Type of number and numbering plan (SMPP 5.2.5, 5.2.6)."""
    if not number:
        return consts.SMPP_TON_UNK, consts.SMPP_NPI_UNK
    if not _NUMBER.fullmatch(number):
        return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK
    if number.startswith("+"):
        return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN
    # As the centre dials: a number without its country is for it to complete.
    return consts.SMPP_TON_UNK, consts.SMPP_NPI_ISDN


def relative(validity: timedelta) -> str:
    """A validity period as SMPP 7.1.1.2 writes it: YYMMDDhhmmss000R, without years and months."""
    seconds = max(1, int(min(validity, LONGEST).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"0000{days:02}{hours:02}{minutes:02}{seconds:02}000R"
