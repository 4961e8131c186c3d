"""The carrier for trying out: a line in the log, from which a notification can be sent by hand."""

from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from overair.push.transport import Contact, Sent

log = structlog.get_logger()


class LogTransport:
    """Writes notifications to the log, and to nobody else."""

    name = "log"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def send(self, contact: Contact, package: bytes, validity: timedelta) -> Sent:
        """Write it down. There is no secret in it: a digest, and our server id."""
        log.info(
            "notification",
            imei=contact.imei,
            address=contact.address,
            mdn=contact.mdn,
            package=package.hex(),
            validity_s=int(validity.total_seconds()),
        )
        return Sent.SENT
