"""The account of a device as a DM bootstrap message: the same as ``provisioning``, in DM's own words.

One SyncML message adds the account's subtree below ``./DMAcc``; no answer comes to it, success is seen by
the session that follows (oma-dm 12). It is always WBXML. Nodes are added one by one and parents first, so
that no client has to make any by itself.

Not in here: who may send it: a MAC (``provisioning.bootstrap_mac``) in the Content-Type says so, which is
made of something that the device knows already.
"""

from collections.abc import Iterator

from overair.protocols.syncml.codec import Form, encode
from overair.protocols.syncml.codes import Format
from overair.protocols.syncml.message import Add, Header, Item, Location, Message, Meta
from overair.protocols.syncml.provisioning import Account, Credentials

_TEXT = "text/plain"


def bootstrap_wbxml(account: Account, device: str, node: str) -> bytes:
    """Write the message; ``device`` is its id, ``node`` the name that the account gets in its tree."""
    return encode(bootstrap_message(account, device, node), Form())


def bootstrap_message(account: Account, device: str, node: str) -> Message:
    """Return the message as a value."""
    commands = tuple(
        Add(cmd_id=str(number), items=(item,))
        for number, item in enumerate(_items(account, f"./DMAcc/{node}"), start=1)
    )
    return Message(
        # Numbers of a session that there is not.
        header=Header(
            session_id="0",
            msg_id=0,
            target=Location(uri=device),
            source=Location(uri=account.server_id),
        ),
        commands=commands,
        final=True,
    )


def _items(account: Account, root: str) -> Iterator[Item]:
    yield _interior(root)
    yield _leaf(f"{root}/AppID", "w7")
    yield _leaf(f"{root}/ServerID", account.server_id)
    yield _leaf(f"{root}/Name", account.name)
    yield _interior(f"{root}/AppAddr")
    yield _interior(f"{root}/AppAddr/1")
    yield _leaf(f"{root}/AppAddr/1/Addr", account.address)
    yield _leaf(f"{root}/AppAddr/1/AddrType", "URI")
    if account.port is not None:
        yield _interior(f"{root}/AppAddr/1/Port")
        yield _interior(f"{root}/AppAddr/1/Port/1")
        yield _leaf(f"{root}/AppAddr/1/Port/1/PortNbr", str(account.port))
    yield _leaf(f"{root}/AAuthPref", account.client.auth_type.value)
    yield _interior(f"{root}/AppAuth")
    yield from _credentials(f"{root}/AppAuth/1", "CLCRED", account.client)
    yield from _credentials(f"{root}/AppAuth/2", "SRVCRED", account.server)


def _credentials(root: str, level: str, credentials: Credentials) -> Iterator[Item]:
    yield _interior(root)
    yield _leaf(f"{root}/AAuthLevel", level)
    yield _leaf(f"{root}/AAuthType", credentials.auth_type.value)
    yield _leaf(f"{root}/AAuthName", credentials.name)
    yield _leaf(f"{root}/AAuthSecret", credentials.secret)
    if credentials.nonce is not None:
        meta = Meta(format=Format.BIN, type="application/octet-stream")
        place = Location(uri=f"{root}/AAuthData")
        yield Item(target=place, meta=meta, data=credentials.nonce)


def _interior(uri: str) -> Item:
    return Item(target=Location(uri=uri), meta=Meta(format=Format.NODE))


def _leaf(uri: str, value: str) -> Item:
    meta = Meta(format=Format.CHR, type=_TEXT)
    return Item(target=Location(uri=uri), meta=meta, data=value)
