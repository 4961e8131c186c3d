"""A server with LwM2M devices and a firmware for them, around the field that all device tests have."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from overair.config import Lwm2m
from overair.core.ids import AttemptId, CampaignId
from overair.engine import push
from overair.engine.catalog import Software, put_software
from overair.engine.licenses import assign_licenses, set_subscription
from overair.engine.lwm2m_accounts import put_blocks
from overair.fleetfile import shapes
from overair.store import attempts, lwm2m_registrations, slots, upgrades
from overair.store.attempts import Attempt
from overair.store.database import Tx
from overair.store.lwm2m_registrations import Registration
from overair.store.slots import Radio
from tests.devices.field import IMAGE, MONDAY, Field, device_of, imei, open_field
from tests.devices.lwm2m.gadget import Gadget
from tests.waiting import until

FIRMWARE = "FW_Acme_X1_01To02"
KEY = "000102030405060708090a0b0c0d0e0f"


@dataclass(slots=True, kw_only=True)
class Yard:
    """The field, and what it lacks."""

    field: Field

    @property
    def coap(self) -> str:
        """Where it is reached in the clear."""
        socket = self.field.server.lwm2m.plain
        assert socket is not None
        return f"coap://127.0.0.1:{socket.address[1]}"

    @property
    def coaps_port(self) -> int:
        """Where it is reached over DTLS."""
        socket = self.field.server.lwm2m.secure
        assert socket is not None
        return socket.address[1]

    async def gadget(
        self, number: int, *, block: shapes.Lwm2m | None = None, **facts: Any
    ) -> Gadget:
        """A device; ``block`` in the words of the fleet file."""
        await self.field.add(number, **({"protocol": "LWM2M", "token_hash": None} | facts))
        if block is not None:
            await self.account(number, block)
        return Gadget(f"urn:imei:{imei(number)}", self.coap)

    async def account(self, number: int, block: shapes.Lwm2m) -> None:
        seal = self.field.server.seal
        await self.field.run(
            lambda tx: put_blocks(tx, [(device_of(tx, imei(number)), block)], seal)
        )

    async def license(self, number: int) -> None:
        """Give the device a licence."""
        settings, now = self.field.settings, self.field.clock.now()

        def give(tx: Tx) -> None:
            set_subscription(
                tx,
                self.field.account,
                purchase_type="TS-HFOTA-EVNT,TS-HFOTA-MRC",
                license_count=10,
                settings=settings,
                now=now,
            )
            assign_licenses(tx, self.field.account, [imei(number)], settings.limits, now)

        await self.field.run(give)

    async def campaign(self, *numbers: int, **asked: Any) -> CampaignId:
        """A campaign of v1 with the firmware, carried as far as it goes now."""
        plain: dict[str, Any] = {
            "api_version": 1,
            "package_name": FIRMWARE,
            "from_version": None,
            "protocols": frozenset({"OMADM", "LWM2M"}),
            "distribution_type": "LWM2M",
        }
        made = await self.field.campaign(*numbers, **(plain | asked))
        await self.due()
        return made

    async def due(self) -> None:
        """Let the engine open the attempts that are due."""
        now = self.field.clock.now()
        await self.field.run(lambda tx: push.due(tx, self.field.settings, now, 1000))

    async def attempt(self, number: int) -> Attempt | None:
        """The device's latest attempt."""

        def find(tx: Tx) -> Attempt | None:
            row = tx.one(
                "select max(id) from attempt where device_id = ?",
                (device_of(tx, imei(number)),),
            )
            assert row is not None
            return None if row[0] is None else attempts.find(tx, AttemptId(row[0]))

        return await self.field.run(find)

    async def state(self, number: int) -> str:
        found = await self.attempt(number)
        return "" if found is None else found.state.value

    async def comes_to(self, number: int, state: str) -> None:
        """Wait until its attempt is there."""

        async def there() -> bool:
            # As its loop does: a device that is being seen to is locked, and looked at the next time.
            await self.due()
            now = await self.state(number)
            assert now == state
            return True

        await until(there, f"state {state}")

    async def place(self, number: int, campaign: CampaignId) -> tuple[str, str]:
        """State and reason of the device in the campaign."""

        def read(tx: Tx) -> tuple[str, str]:
            (found,) = upgrades.of_imeis(tx, campaign, [imei(number)])
            return found.state.value, found.reason.value

        return await self.field.run(read)

    async def words(self, number: int) -> list[tuple[int | None, str]]:
        """What was noted of its latest attempt, oldest first: code and text."""
        attempt = await self.attempt(number)
        assert attempt is not None
        found = await self.field.messages(attempt.id)
        return [(message.code, " ".join(message.details)) for message in reversed(found)]

    async def registration(self, number: int) -> Registration | None:
        return await self.field.run(
            lambda tx: lwm2m_registrations.of_device(tx, device_of(tx, imei(number)))
        )

    async def radio(self, number: int) -> Radio:
        return await self.field.run(lambda tx: slots.radio(tx, device_of(tx, imei(number))))

    async def version(self, number: int) -> str:
        return await self.field.peer(number).version()


def lwm2m_rules(**rules: Any) -> Lwm2m:
    """Settings for devices on the loopback: nobody waits for long."""
    plain = {
        "coap": "127.0.0.1:0",
        "coaps": "127.0.0.1:0",
        "no_sec": True,
        "ack_timeout_s": 0.1,
        "ack_random_factor": 1.5,
    }
    return msgspec.structs.replace(Lwm2m(), **(plain | rules))


@contextlib.asynccontextmanager
async def open_yard(
    data: Path, database_url: str = "", *, rules: Lwm2m | None = None, **changes: Any
) -> AsyncIterator[Yard]:
    """A yard that is verified at its end."""
    async with open_field(data, database_url, lwm2m=rules or lwm2m_rules(), **changes) as field:
        software = Software(
            name=FIRMWARE,
            protocol="LWM2M",
            make="Acme",
            model="X1",
            from_version="01",
            to_version="02",
            launch_at=MONDAY,
            file_name="x1-02.bin",
            artifact=field.image,
        )
        await field.run(lambda tx: put_software(tx, software, field.clock.now()))
        yield Yard(field=field)


__all__ = ["FIRMWARE", "IMAGE", "KEY", "Yard", "imei", "lwm2m_rules", "open_yard"]
