"""What a device is given at the bootstrap server, and when that becomes its account (``lwm2m.md`` 13).

    give       a new identity and key, kept before they leave; the former ones stay good
    take_over  the first handshake with them: they are the account, the former ones are nothing

The identity is a new one each time, because a handshake names an identity and not a key: two keys under
one name could not be told apart. A device that never got what was given keeps what it has, and when it
asks again what waits is replaced.

Not in here: the messages (``devices/lwm2m/bootstrap.py``), and what operators say
(``lwm2m_accounts.py``).
"""

from collections.abc import Sequence
from datetime import datetime

from overair.core.ids import DeviceId
from overair.engine.lwm2m_accounts import (
    FoundKey,
    Pair,
    opened,
    place_of,
    place_of_bootstrap,
    place_of_next,
)
from overair.sealing import Seal
from overair.store import lwm2m_accounts, lwm2m_bootstrap
from overair.store.database import Tx
from overair.store.lwm2m_accounts import Terms


def find_key(tx: Tx, identity: str, seal: Seal) -> FoundKey | None:
    """Whose an identity at the bootstrap server is, and its key. Raises SealError."""
    found = lwm2m_bootstrap.key_of(tx, identity)
    if found is None:
        return None
    device_id, sealed = found
    return FoundKey(device_id, seal.open(sealed, place_of_bootstrap(device_id)))


def keys_by_device(
    tx: Tx, device_ids: Sequence[DeviceId], seal: Seal
) -> dict[DeviceId, frozenset[Pair]]:
    """What is good of these devices there, of those that have something that opens."""
    sealed = lwm2m_bootstrap.identities_of(tx, device_ids)
    return {
        device_id: frozenset((pair,))
        for device_id, pair in opened(sealed, place_of_bootstrap, seal).items()
    }


def give(tx: Tx, device_id: DeviceId, pair: Pair, seal: Seal) -> None:
    """Keep an identity and a key that a device is about to be given."""
    identity, key = pair
    lwm2m_bootstrap.put_next(tx, device_id, identity, seal.close(key, place_of_next(device_id)))


def take_over(tx: Tx, device_id: DeviceId, identity: str, seal: Seal) -> bool:
    """The device proved that it has what it was given: from now on that is its account.

    False: it has been given something else meanwhile, or it is its account already. Raises SealError.
    """
    waiting = lwm2m_bootstrap.next_of(tx, [device_id]).get(device_id)
    if waiting is None or waiting[0] != identity:
        return False
    key = seal.open(waiting[1], place_of_next(device_id))
    before = lwm2m_accounts.terms_of(tx, [device_id]).get(device_id) or Terms()
    after = Terms(
        endpoint=before.endpoint, identity=identity, key=seal.close(key, place_of(device_id))
    )
    lwm2m_accounts.put_terms(tx, [(device_id, after)])
    lwm2m_bootstrap.put_next(tx, device_id, None, None)
    return True


def note(tx: Tx, device_id: DeviceId, said: str, now: datetime) -> None:
    """Keep what became of a device's request."""
    lwm2m_bootstrap.note(tx, device_id, said, now)
