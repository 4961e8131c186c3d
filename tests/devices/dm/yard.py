"""A server with OMA-DM devices and a firmware for them, around the field that all device tests have."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from overair.config import Omadm
from overair.core.ids import AttemptId, CampaignId, DeviceId
from overair.engine import push
from overair.engine.catalog import Software, put_software
from overair.engine.dm_accounts import put_blocks
from overair.fleetfile import shapes
from overair.protocols.syncml.codec import Form
from overair.store import attempts, dm_accounts, upgrades
from overair.store.attempts import Attempt
from overair.store.database import Tx
from tests.devices.dm.modem import CLIENT_SECRET, SERVER_ID, SERVER_SECRET, XML, Modem
from tests.devices.field import IMAGE, MONDAY, Field, device_of, imei, open_field

FIRMWARE = "FW_Acme_X1_01To02"
FILE_NAME = "x1-02.bin"


@dataclass(slots=True, kw_only=True)
class Yard:
    """The field, and what it lacks."""

    field: Field

    async def modem(
        self,
        number: int,
        form: Form = XML,
        *,
        block: shapes.Omadm | None = None,
        facts: dict[str, Any] | None = None,
        **more: Any,
    ) -> Modem:
        """A device with an account; ``block`` in the words of the fleet file."""
        plain = {"protocol": "OMADM", "token_hash": None} | (facts or {})
        await self.field.add(number, **plain)
        told = block or shapes.Omadm(
            client_name=f"dev{number}", client_secret=CLIENT_SECRET, server_secret=SERVER_SECRET
        )
        seal = self.field.server.seal

        def put(tx: Tx) -> str:
            device_id = device_of(tx, imei(number))
            put_blocks(tx, [(device_id, imei(number), told)], seal)
            account = dm_accounts.of_device(tx, device_id)
            assert account is not None
            return account.terms.client_name

        user = await self.field.run(put)
        return Modem(home=self.field, imei=imei(number), user=user, form=form, **more)

    async def campaign(self, *numbers: int, **asked: Any) -> CampaignId:
        """A campaign of v1 with the firmware, carried as far as it goes now."""
        plain: dict[str, Any] = {
            "api_version": 1,
            "package_name": FIRMWARE,
            "from_version": None,
            "protocols": frozenset({"OMADM", "LWM2M"}),
            "distribution_type": "OMD-DM",
        }
        made = await self.field.campaign(*numbers, **(plain | asked))
        await self.due()
        return made

    async def due(self) -> list[push.Wake]:
        """Whom the push loop would notify now."""
        now = self.field.clock.now()
        return await self.field.run(lambda tx: push.due(tx, self.field.settings, now, 1000))

    async def wait(self, **delta: float) -> None:
        """Move the time, and let the engine work."""
        await self.field.wait(**delta)
        await self.due()

    async def attempt(self, number: int) -> Attempt:
        """The device's latest attempt."""

        def find(tx: Tx) -> Attempt:
            row = tx.one(
                "select max(id) from attempt where device_id = ?",
                (device_of(tx, imei(number)),),
            )
            assert row is not None
            found = attempts.find(tx, AttemptId(row[0]))
            assert found is not None
            return found

        return await self.field.run(find)

    async def state(self, number: int) -> str:
        return (await self.attempt(number)).state.value

    async def place(self, number: int, campaign: CampaignId) -> tuple[str, str]:
        """State and reason of the device in the campaign."""

        def read(tx: Tx) -> tuple[str, str]:
            (found,) = upgrades.of_imeis(tx, campaign, [imei(number)])
            return found.state.value, found.reason.value

        return await self.field.run(read)

    async def told(self, number: int) -> list[tuple[int | None, str]]:
        """What the device said of its latest attempt, oldest first: code and words."""
        attempt = await self.attempt(number)
        found = await self.field.messages(attempt.id)
        return [(message.code, " ".join(message.details)) for message in reversed(found)]

    async def account(self, number: int) -> dm_accounts.DmAccount:
        def read(tx: Tx) -> dm_accounts.DmAccount:
            found = dm_accounts.of_device(tx, device_of(tx, imei(number)))
            assert found is not None
            return found

        return await self.field.run(read)

    async def device_id(self, number: int) -> DeviceId:
        return await self.field.run(lambda tx: device_of(tx, imei(number)))

    async def version(self, number: int) -> str:
        return await self.field.peer(number).version()

    async def attributes(self, number: int) -> dict[str, str]:
        return await self.field.peer(number).attributes()


@contextlib.asynccontextmanager
async def open_yard(
    data: Path, database_url: str = "", *, omadm: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Yard]:
    """A yard that is verified at its end."""
    rules = msgspec.structs.replace(Omadm(server_id=SERVER_ID), **(omadm or {}))
    async with open_field(data, database_url, omadm=rules, **changes) as field:
        software = Software(
            name=FIRMWARE,
            protocol="OMADM",
            make="Acme",
            model="X1",
            from_version="01",
            to_version="02",
            launch_at=MONDAY,
            file_name=FILE_NAME,
            artifact=field.image,
        )
        await field.run(lambda tx: put_software(tx, software, field.clock.now()))
        yield Yard(field=field)


__all__ = ["FILE_NAME", "FIRMWARE", "IMAGE", "Yard", "imei", "open_yard"]
