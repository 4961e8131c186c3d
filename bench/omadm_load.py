"""A load generator for OMA-DM, in a process of its own: devices that hold whole sessions.

`python -m bench.omadm_load` reads one order (JSON) from standard input and writes one result (JSON) to
standard output. Each device is the simulated one of `overair.sim.omadm`, in WBXML, with md5 in both
directions: it checks the server's proof, keeps the nonces that it is given, and answers every command.
A session that takes another number of messages than it must, or that does not bring the command which
it must bring, is an error. Nonces are kept in a file, because a device's next session needs them.

Rates are of sessions, latencies of messages.
"""

import asyncio
import base64
import gc
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from bench.wire import ANSWER_TIMEOUT_S, FlowError, Link, Measure, Order, Result, devices
from overair.protocols.syncml.codec import MediaType
from overair.sim.omadm.account import Account, Nonces
from overair.sim.omadm.manners import Manners
from overair.sim.omadm.session import Session
from overair.sim.omadm.tree import Facts, Tree

MAKE, MODEL, VERSION = "Acme", "X1", "01"
ROOT = "./FUMO"  # of the usual places for the update object one that has it without a parent
ACCEPTED = 202
# What a session of each kind has: messages, and commands to update.
KINDS = {"inventory": (2, 0), "command": (4, 1)}
_NONCE_BYTES = 16


class Device:
    """One device, as far as it outlives a session."""

    def __init__(self, imei: str, token: str, order: Order, nonces: Nonces) -> None:
        client, server = secrets_of(token)
        self.account = Account(
            device_id=f"IMEI:{imei}",
            url=f"http://127.0.0.1:{order.port}/dm",
            server_secret=server,
            client_name=imei,
            client_secret=client,
        )
        self.nonces = nonces
        self.executed: list[str] = []
        facts = Facts(device_id=self.account.device_id, make=MAKE, model=MODEL)
        self.tree = Tree(facts, VERSION, ROOT)
        self.tree.on_exec = self._execute

    def _execute(self, uri: str, correlator: str | None) -> int:
        self.executed.append(correlator or "")
        return ACCEPTED

    def session(self, number: int) -> Session:
        """Return a session of its own accord."""
        return Session(
            f"{number:x}",
            self.account,
            self.nonces,
            self.tree,
            Manners(root=ROOT),
            new_nonce=lambda: secrets.token_bytes(_NONCE_BYTES),
        )


def secrets_of(token: str) -> tuple[str, str]:
    """Return a device's secret and the server's, as the fleet file has them."""
    return token, token[::-1]


async def hold(link: Link, order: Order, device: Device, measure: Measure) -> None:
    """Hold one session. Raises FlowError."""
    messages, commands = KINDS[order.kind]
    head = (
        f"POST /dm HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\n"
        f"Content-Type: {MediaType.WBXML.value}\r\nContent-Length: "
    ).encode()
    session = device.session(order.seed)
    body: bytes | None = session.open((), by_server=False)
    sent = 0
    while body is not None:
        before = time.perf_counter()
        status, answer = await link.ask(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        measure.latencies.append(time.perf_counter() - before)
        measure.statuses[status] += 1
        sent += 1
        if status != 200:
            raise FlowError(f"{device.account.device_id}, message {sent}: {status}")
        body = session.receive(answer)
    told = f"{sent} messages, {len(device.executed)} commands, {session.problem or 'no problem'}"
    if session.problem or not session.authenticated:
        raise FlowError(f"{device.account.device_id}: {told}")
    if sent != messages or len(device.executed) != commands or "" in device.executed:
        raise FlowError(f"{device.account.device_id}: {told}")


async def run(order: Order) -> Result:
    """Carry out one order."""
    known = _known(order)
    fleet = {
        imei: Device(imei, token, order, _nonces(known.get(imei, ["", ""])))
        for imei, token in devices(order.devices)[order.first : order.first + order.count]
    }
    measure = Measure()
    clock = time.perf_counter
    links = [Link(order.port) for _ in range(order.connections)]
    await asyncio.gather(*(link.open() for link in links))
    gc.collect()
    gc.freeze()
    started = clock()
    deadline = started + order.seconds
    done = 0

    async def work(link: Link, mine: Iterator[Device]) -> None:
        nonlocal done
        for device in mine:
            try:
                await asyncio.wait_for(hold(link, order, device, measure), ANSWER_TIMEOUT_S)
                done += 1
            except FlowError as error:
                measure.error(str(error))
            except (OSError, TimeoutError) as error:
                measure.error(f"{type(error).__name__}: {error}")
                link.close()
                await link.open()
            if clock() >= deadline:
                return

    rest = iter(fleet.values())
    await asyncio.gather(*(work(link, rest) for link in links))
    seconds = clock() - started
    for link in links:
        link.close()
    known |= {
        imei: [base64.b64encode(each).decode() for each in (one.nonces.client, one.nonces.server)]
        for imei, one in fleet.items()
    }
    _keep(order, known)
    return measure.result(order.kind, done, seconds)


def _known(order: Order) -> dict[str, list[str]]:
    kept = Path(f"{order.devices}.nonces")
    found: dict[str, list[str]] = json.loads(kept.read_text()) if kept.exists() else {}
    return found


def _keep(order: Order, known: dict[str, list[str]]) -> None:
    Path(f"{order.devices}.nonces").write_text(json.dumps(known))


def _nonces(kept: list[str]) -> Nonces:
    client, server = (base64.b64decode(each) for each in kept)
    return Nonces(client, server)


def main() -> None:
    """Read the order, carry it out, write the result."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    result = uvloop.run(run(order))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
