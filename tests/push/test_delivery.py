"""The loop that notifies: what is due leaves at its pace, and nothing is lost with a carrier."""

from datetime import timedelta
from functools import partial

from overair.config import Omadm
from overair.core.credentials import dm_key
from overair.core.ids import UpgradeId
from overair.core.network import EventKind, NetworkEvent
from overair.engine import carriage, dm_accounts, network
from overair.engine import push as engine
from overair.fleetfile import shapes
from overair.protocols.syncml.notification import is_genuine
from overair.push import chosen_transport
from overair.push.logged import LogTransport
from overair.push.smpp import SmppTransport
from overair.push.transport import Sent
from overair.push.udp import UdpTransport
from overair.sealing import Seal
from overair.store import Tx, open_database
from overair.store import dm_accounts as accounts
from overair.store import network as line
from overair.store import push as store
from tests.engine import pushed
from tests.engine.world import World, imei
from tests.engine.world import settings as world_settings
from tests.push.centre import Centre, running
from tests.push.conftest import SEAL, SECRET, Region
from tests.push.receiver import Receiver, receiving
from tests.push.test_smpp import QUICK, settings
from tests.waiting import until

KEY = dm_key("overair", SECRET)


async def carried(region: Region, count: int) -> None:
    async def were() -> bool:
        return len(region.carried) >= count

    await until(were, f"{count} notifications to be handed over, not {len(region.carried)}")


async def at_rest(region: Region, count: int) -> None:
    """Exactly so many were handed over, and the loop has looked again since."""
    await carried(region, count)
    for _ in range(3):
        done = await region.db.transact(lambda tx: True)
        assert done
    assert len(region.carried) == count


async def attach(region: Region, *numbers: int, address: str = "") -> None:
    now = region.clock.now()
    events = [
        NetworkEvent(imei=imei(n), kind=EventKind.ATTACH, at=now, address=address) for n in numbers
    ]
    await region.db.transact(network.apply, events, now)


async def test_devices_of_a_campaign_are_notified(region: Region) -> None:
    """Each device gets one push that it can verify, with its attempt's session, after the commit."""
    with receiving() as receiver:
        await region.devices(1, 2, 3, port=receiver.port)
        await region.campaign(1, 2, 3)
        region.deliver(UdpTransport(bare=False))
        await until(lambda: came(receiver, 3), "three datagrams")
    found = receiver.notifications()
    assert [n.trigger.session for n in found] == [1, 1, 1]
    assert all(is_genuine(n, KEY, b"") for n in found)
    assert {n.trigger.server_id for n in found} == {"overair"}
    assert region.results() == {"sent": 3}


async def came(receiver: Receiver, count: int) -> bool:
    return await receiver.came() >= count


async def test_repeats_are_the_same_bytes(region: Region) -> None:
    """At 0, 1 and 5 minutes the same datagram leaves; a new attempt has another session."""
    with receiving() as receiver:
        await region.devices(1, port=receiver.port)
        await region.campaign(1)
        region.deliver(UdpTransport(bare=False))
        await until(lambda: came(receiver, 1), "the first")
        for count, seconds in ((2, 60), (3, 240)):
            region.pass_time(seconds)
            await until(partial(came, receiver, count), "a repeat")
        assert len(set(receiver.datagrams)) == 1
        region.pass_time(4 * 3600)
        await until(lambda: is_queued(region), "the end of the window")
        await attach(region, 1)
        await until(lambda: came(receiver, 4), "the next attempt")
    assert [n.trigger.session for n in receiver.notifications()] == [1, 1, 1, 2]


async def test_who_waited_without_a_date_gets_one(region: Region) -> None:
    """Devices that nobody was to call unasked are called in due time after a start with another setting."""
    await region.devices(1, 2, 3)
    await region.campaign(1, 2, 3)

    def park(tx: Tx) -> None:
        tx.execute(
            "update device_upgrade set due_at = null, state = 'pending', reason = 'retry_queued'"
        )

    await region.db.transact(park)
    region.settings = world_settings(sweep_devices=2, omadm=Omadm(requeue_push_s=3600))
    region.deliver(LogTransport())

    async def dated() -> bool:
        return not await region.db.report(store.undated, UpgradeId(0), 10)

    await until(dated, "dates")
    assert region.carried == []
    region.pass_time(3600)
    await carried(region, 3)


async def is_queued(region: Region) -> bool:
    def read(tx: Tx) -> bool:
        row = tx.one("select reason from device_upgrade")
        return row is not None and row[0] == "retry_queued"

    return await region.db.report(read)


async def test_the_network_s_address_is_newer(region: Region) -> None:
    """Where the network saw the device counts more than what was once written down."""
    with receiving() as old, receiving() as new:
        await region.devices(1, 2, port=old.port)
        await attach(region, 1, address=f"127.0.0.1:{new.port}")
        await region.campaign(1, 2)
        region.deliver(UdpTransport(bare=False))
        await until(lambda: came(new, 1), "the one that moved")
        await until(lambda: came(old, 1), "the one that did not")


async def test_devices_that_cannot_be_notified(sqlite_region: Region) -> None:
    """Without an address, an account, or the right key, a device is counted and holds nobody up."""
    region = sqlite_region
    await region.devices(1)
    await region.story(lambda w: w.add_devices(2, protocol="OMADM"))

    def strange(w: World) -> None:
        w.add_devices(3, protocol="OMADM")
        block = shapes.Omadm(client_secret="c" * 16, server_secret=SECRET)
        dm_accounts.put_blocks(w.tx, [(w.device(3).id, imei(3), block)], Seal(b"another key" * 3))

    await region.story(strange)
    await region.devices(4)

    def spoil(w: World) -> None:
        device_id = w.device(4).id
        sealed = SEAL.close(b"{", f"OMA-DM account of device {device_id}")
        sql = "update dm_account set secrets = ? where device_id = ?"
        assert w.tx.execute(sql, (sealed, device_id)) == 1

    await region.story(spoil)
    await region.campaign(1, 2, 3, 4)
    region.deliver(UdpTransport(bare=False))
    await at_rest(region, 4)
    assert region.results() == {"no_address": 1, "no_account": 3}


async def test_the_pace(sqlite_region: Region) -> None:
    """A second's worth leaves at once, then as many a second as the settings allow."""
    region = sqlite_region
    region.settings = pushed.rules(pushes_per_s=10)
    numbers = range(1, 36)
    await region.devices(*numbers)
    await region.campaign(*numbers)
    region.deliver(LogTransport())
    await at_rest(region, 10)
    for count in (20, 30, 35):
        region.pass_time(1)
        await at_rest(region, count)
    assert region.results() == {"sent": 35}


async def test_an_attach_storm_starves_nobody(region: Region) -> None:
    """A region that comes back all at once is notified at the pace; who else is due has his turn."""
    region.settings = pushed.rules(pushes_per_s=20)
    storm, others = range(1, 201), range(301, 306)
    await region.devices(*storm, *others)
    await region.campaign(*storm)

    def sleep_through(w: World) -> None:
        pushed.due(w)

    await region.story(sleep_through)
    region.pass_time(4 * 3600)
    await region.story(sleep_through)
    await attach(region, *storm)
    assert await region.db.report(line.count_waking) == 200
    region.deliver(LogTransport())
    await carried(region, 20)
    await region.campaign(*others)
    region.pass_time(1)
    await carried(region, 40)
    region.pass_time(1)
    await carried(region, 60)
    assert await open_attempts(region, *others) == 5, (
        "within two seconds, not after the storm's ten"
    )
    while await region.db.report(line.count_waking) or len(region.carried) < 205:
        before = len(region.carried)
        region.pass_time(1)
        await carried(region, min(205, before + 19))
    await at_rest(region, 205)
    assert await open_attempts(region, *storm) == 200


async def open_attempts(region: Region, *numbers: int) -> int:
    def count(w: World) -> int:
        return sum(w.device(number).open_attempt_id is not None for number in numbers)

    return int(await region.story(count))


async def test_a_large_campaign_does_not_starve_the_line(sqlite_region: Region) -> None:
    """While many are due, a quarter of the pace lets those who attached become due as well."""
    region = sqlite_region
    region.settings = pushed.rules(pushes_per_s=20)
    sleepers, crowd = range(1, 41), range(101, 301)
    await region.devices(*sleepers, *crowd)
    await region.campaign(*sleepers)
    await region.story(pushed.due)
    region.pass_time(4 * 3600)
    await region.story(pushed.due)
    await region.campaign(*crowd)
    await attach(region, *sleepers)
    region.deliver(LogTransport())
    for count in (20, 40, 60, 80, 100, 120, 140, 160, 180):
        await carried(region, count)
        region.pass_time(1)
    await carried(region, 190)
    assert await region.db.report(line.count_waking) == 0


async def test_a_carrier_that_is_away(region: Region) -> None:
    """What no carrier took is due again soon, is not counted as a push, and leaves when it is back."""
    centre = Centre()
    async with running(centre):
        pass
    await region.devices(1, 2)
    await region.campaign(1, 2)
    region.deliver(SmppTransport(settings(centre), QUICK))
    for count, pause_s in ((2, 5.0), (4, 10.0), (6, 20.0)):
        await carried(region, count)
        await until(partial(put_back, region, pause_s), f"both to be due in {pause_s} seconds")
        assert await pushes(region) == [0, 0]
        if pause_s < 20:
            region.pass_time(pause_s)
    assert region.results() == {"later": 6}
    async with running(centre):

        async def both() -> bool:
            region.pass_time(1)
            return len(centre.submitted) == 2

        await until(both, "both by SMS")
        assert {message.number for message in centre.submitted} == {"15550000001", "15550000002"}
        await until(lambda: pushed_once(region), "both to be counted")
        await region.stop()
    assert centre.submitted[0].validity.endswith("000R")


async def test_an_sms_is_kept_until_the_window_ends(sqlite_region: Region) -> None:
    """The first for four hours, and a repeat for what is left of them."""
    region, centre = sqlite_region, Centre()

    async def submitted(count: int) -> bool:
        return len(centre.submitted) >= count

    await region.devices(1)
    await region.campaign(1)
    async with running(centre):
        region.deliver(SmppTransport(settings(centre), QUICK))
        await until(partial(submitted, 1), "the first")
        region.pass_time(3600)
        await until(partial(submitted, 2), "a repeat")
        await region.stop()
    kept = [message.validity for message in centre.submitted]
    assert kept == ["000000040000000R", "000000030000000R"]


async def put_back(region: Region, pause_s: float) -> bool:
    return set((await region.due()).values()) == {pause_s}


async def pushed_once(region: Region) -> bool:
    return await pushes(region) == [1, 1]


async def pushes(region: Region) -> list[int]:
    def read(tx: Tx) -> list[int]:
        return [row[0] for row in tx.all("select pushes from push_attempt")]

    return await region.db.report(read)


async def test_the_window_goes_on_without_a_carrier(sqlite_region: Region) -> None:
    """A window ends at its time whether or not anything could be sent in it."""
    region = sqlite_region
    centre = Centre()
    async with running(centre):
        pass
    await region.devices(1)
    await region.campaign(1)
    region.deliver(SmppTransport(settings(centre), QUICK))
    await carried(region, 1)
    region.pass_time(4 * 3600 + 60)

    async def over() -> bool:
        region.pass_time(1)
        return await is_queued(region)

    await until(over, "the end of the window")


async def test_what_is_under_way_at_the_end(sqlite_region: Region) -> None:
    """A loop that ends gives back what has no answer yet, at once."""
    region = sqlite_region
    async with running(Centre()) as centre:
        await region.devices(1)
        transport = SmppTransport(settings(centre), QUICK)
        region.deliver(transport)

        async def is_bound() -> bool:
            return len(centre.binds) == 1 and centre.connections == 1

        await until(is_bound, "the bind")
        centre.silent = True
        await region.campaign(1)

        async def submitted() -> bool:
            region.pass_time(5)
            return bool(centre.submitted)

        await until(submitted, "the SMS")
        await region.stop()
    due = (await region.due())[imei(1)]
    assert due is not None
    assert due <= 0
    assert await pushes(region) == [0]


async def test_two_loops_share_the_work(region: Region) -> None:
    """Of two processes on one database each notification is sent by one."""
    numbers = range(1, 61)
    with receiving() as receiver:
        await region.devices(*numbers, port=receiver.port)
        await region.campaign(*numbers)
        other = region.db
        if region.db.dialect == "postgres":
            other = open_database(region.url, region.clock)
            await other.start()
        try:
            region.deliver(UdpTransport(bare=False))
            region.deliver(UdpTransport(bare=False), other)
            await until(lambda: came(receiver, 60), "sixty datagrams")
            await at_rest(region, 60)
            await region.stop()
        finally:
            if other is not region.db:
                await other.close()
        assert await receiver.came() == 60
    assert await pushes(region) == [1] * 60


async def test_one_notification_over_the_zero_nonce(region: Region) -> None:
    """After so many without effect one has the zero nonce, and its session may use it; then no more."""
    region.settings = pushed.rules(zero_nonce_after=1)
    with receiving() as receiver:
        await region.devices(1, port=receiver.port)
        await region.campaign(1)
        region.deliver(UdpTransport(bare=False))
        for count, seconds in ((1, 0), (2, 60), (3, 240)):
            region.pass_time(seconds)
            await until(partial(came, receiver, count), "a notification")
    first, zero, third = receiver.notifications()
    assert is_genuine(zero, KEY, bytes(4))
    assert is_genuine(first, KEY, b"")
    assert is_genuine(third, KEY, b"")
    (device_id,) = await region.ids([1])
    account = await region.db.report(accounts.of_device, device_id)
    assert account is not None
    assert account.zero_nonce_session == zero.trigger.session_id == "1"


async def test_taking_back_what_has_gone_on(region: Region) -> None:
    """A notification that was followed by another one, or whose attempt is over, stays as it was."""
    await region.devices(1)
    await region.campaign(1)

    def tell(w: World) -> None:
        (first,) = pushed.due(w)
        w.now += timedelta(minutes=1)
        (second,) = pushed.due(w)
        again = w.now + timedelta(seconds=5)
        assert carriage.take_back(w.tx, [first], again) == 0
        assert carriage.take_back(w.tx, [second], again) == 1
        assert not pushed.due(w)
        w.now = again
        (third,) = pushed.due(w)
        assert third == second
        pushed.succeed(w, 1)
        assert carriage.take_back(w.tx, [third], w.now) == 1
        w.now += timedelta(days=1)
        assert engine.due(w.tx, w.settings, w.now, 10) == []

    await region.story(tell)


def test_the_carrier_that_the_settings_name() -> None:
    """``notify`` chooses among three carriers."""
    assert chosen_transport(pushed.rules().omadm).name == "log"
    assert chosen_transport(pushed.rules(notify="udp").omadm).name == "udp"
    named = pushed.rules(notify="smpp", smpp=settings(Centre(port=2775))).omadm
    assert chosen_transport(named).name == "smpp"
    assert {sent.value for sent in Sent} == {"sent", "no_address", "refused", "later"}
