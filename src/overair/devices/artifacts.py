"""Artifacts as devices see them: who may fetch what, how it is described, and what was sent.

A device may fetch the file of its open action and that of its latest installation, and nothing else
(``http-ddi.md`` 5.4). The bytes are sent by ``devices/sending.py``; what was sent is counted for the action.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from overair.artifacts.links import sign
from overair.clock import SystemClock
from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.ids import DeviceId
from overair.devices.asgi import Answer, Request, Send
from overair.devices.gate import Caller
from overair.devices.sending import Sending
from overair.engine import assign
from overair.engine.assign import Look
from overair.engine.outcome import note_bytes
from overair.protocols.ddi import encode
from overair.protocols.ddi.route import Route
from overair.protocols.ddi.values import (
    Artifact,
    DdiError,
    Deployment,
    Handling,
    MaintenanceWindow,
)
from overair.store import polls
from overair.store.database import Database


def described(look: Look) -> tuple[tuple[Handling, Handling, MaintenanceWindow | None], str]:
    """How the device is to handle the deployment, and the tag of it.

    The table of ``http-ddi.md`` 7: ``skip`` only ever goes to two-phase devices, since others close
    the action with success without installing anything.
    """
    found = look.deployment
    assert found is not None
    window = None
    update = Handling.FORCED
    if look.phased:
        window = MaintenanceWindow.AVAILABLE if look.install else MaintenanceWindow.UNAVAILABLE
        update = Handling.FORCED if look.install else Handling.SKIP
    tag = encode.deployment_tag(
        download=Handling.FORCED,
        update=update,
        window=window,
        content=f"{found.sha256}|{found.campaign_tag}",
    )
    return (Handling.FORCED, update, window), tag


class Artifacts:
    """The artifact resources of one server."""

    def __init__(self, db: Database, sending: Sending, settings: Settings, key: bytes) -> None:
        self._db = db
        self._sending = sending
        self._settings = settings
        self._key = key
        self._wall = SystemClock()

    async def settled(self, device_id: DeviceId) -> None:
        """Wait until downloads of which the device may have the last byte are noted."""
        await self._sending.settled(device_id)

    def deployment(self, base: str, look: Look) -> Deployment:
        """The deployment as it is told to the device whose base resource is at ``base``."""
        found = look.deployment
        assert found is not None
        (download, update, window), _ = described(look)
        metadata = [("campaignId", found.campaign_uuid)]
        if found.kind == "file":
            metadata.append(("localTargetPath", found.local_target_path))
        return Deployment(
            action_id=found.attempt_id,
            download=download,
            update=update,
            maintenance_window=window,
            part=found.part,
            name=found.name,
            version=found.version,
            metadata=tuple(metadata),
            artifact=self._artifact(base, found),
        )

    def _artifact(self, base: str, found: polls.Deployment) -> Artifact:
        href = encode.artifact_href(base, found.package_id, found.file_name)
        if self._settings.signed_links:
            until = self._wall.now() + timedelta(seconds=self._settings.signed_link_s)
            href += "?" + sign(_own_path(href), until, self._key)
        return Artifact(
            file_name=found.file_name,
            size_bytes=found.size_bytes,
            sha1=found.sha1,
            md5=found.md5,
            sha256=found.sha256,
            href=href,
        )

    async def _of_module(
        self, route: Route, caller: Caller, now: datetime
    ) -> Sequence[polls.Deployment]:
        allowed = await self._db.read(assign.may_download, caller.device, self._settings, now)
        return [found for found in allowed if found.package_id == route.module_id]

    async def listed(
        self, base: str, route: Route, caller: Caller, now: datetime
    ) -> list[Artifact]:
        """The module's artifacts that the device may fetch. Raises DdiError (404)."""
        found = await self._of_module(route, caller, now)
        if not found:
            raise _no_artifact()
        unique = {deployment.file_name: deployment for deployment in reversed(found)}
        return [self._artifact(base, deployment) for deployment in unique.values()]

    async def allowed(self, route: Route, caller: Caller, now: datetime) -> polls.Deployment:
        """The deployment that lets the device have this file. Raises DdiError (404)."""
        for found in await self._of_module(route, caller, now):
            if found.file_name == route.file_name:
                return found
        raise _no_artifact()

    async def serve(
        self, request: Request, send: Send, route: Route, caller: Caller, now: datetime
    ) -> Answer | None:
        """Send the file, or the answer that says why not."""
        found = await self.allowed(route, caller, now)

        async def note(start: int, end: int) -> None:
            await self._db.transact_brief(
                note_bytes,
                caller.device.id,
                found.attempt_id,
                ((start, end),),
                found.size_bytes,
                self._settings,
                now,
            )

        return await self._sending.serve(
            request,
            send,
            device_id=caller.device.id,
            sha256=found.sha256,
            file_name=found.file_name,
            stored_at=found.stored_at,
            # The installed one again: it counts for nothing.
            note=None if found.state is AttemptState.FINISHED else note,
        )


def _own_path(href: str) -> str:
    """The decoded path by which the request will come, whatever a proxy puts before it."""
    path = urlsplit(href).path
    # Below the controller there is no slash but ours, so the last one of these is the real one.
    tenant_ends = path.rindex("/controller/v1/")
    return unquote(path[path.rindex("/", 0, tenant_ends) :])


def _no_artifact() -> DdiError:
    return DdiError("ddi.not_found", "there is no such artifact for this device", status=404)
