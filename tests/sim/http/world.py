"""A world for one device: answers its steps by the text of the specification, and keeps a transcript.

Time passes only by the device's own sleeping. No sockets: the device has none either.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from overair.sim.http.device import Device
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice
from overair.sim.http.steps import Ask, BackOff, Close, Open, Read, Reply, Sleep, Step
from overair.sim.http.tally import Tally

BASE = "https://fota.example/default/controller/v1/990013900000012"
FILE = bytes(range(256)) * 1200


class World:
    """Shows one device what the test tells it to show."""

    def __init__(
        self, behaviour: Behaviour | None = None, *, two_phase: bool = False, file: bytes = FILE
    ) -> None:
        self.tally = Tally()
        self.device = Device(
            SimDevice(controller_id="990013900000012", token="t", two_phase=two_phase),
            BASE,
            behaviour=behaviour or Behaviour(),
            tally=self.tally,
        )
        self.now = 1_767_323_045.0
        self.file = file
        self.show = "offer"
        self.action_id = 4711
        self.sleep = "00:05:00"
        self.wants_attributes = False
        self.wants_log = False
        self.handling: dict[str, str] = {"download": "forced", "update": "forced"}
        self.part = "os"
        self.announced = file
        self.transcript: list[str] = []
        self.attributes: list[dict[str, str]] = []
        self.logs: list[list[dict[str, str]]] = []
        self.slept: list[float] = []
        # The next answers to a request, by the beginning of its transcript line: a status, or 0.
        self.statuses: dict[str, list[int]] = {}
        self.lost_reads: list[int] = []
        self.on_line: Callable[[str], None] = lambda _line: None
        self._life = self.device.run()
        self._step: Step = next(self._life)
        self._offset: int | None = None

    def run(self, until: Callable[[], bool], limit: int = 5000) -> None:
        """Carry out steps until a condition holds."""
        for _ in range(limit):
            if until():
                return
            self._step = self._life.send(self._perform(self._step))
        raise AssertionError(f"not reached; the transcript ends {self.transcript[-20:]}")

    def run_to(self, line: str) -> None:
        """Carry out steps until a request was answered whose transcript line begins so."""
        self.run(lambda: any(entry.startswith(line) for entry in self.transcript))

    def run_polls(self, count: int) -> None:
        """Carry out steps until the device has polled that many times and sleeps."""
        target = self.tally.polls + count
        self.run(lambda: self.tally.polls >= target and isinstance(self._step, Sleep))

    def _perform(self, step: Step) -> Reply:
        match step:
            case Sleep(seconds=seconds):
                self.now += seconds
                self.slept.append(seconds)
            case BackOff(seconds=seconds):
                self.now += seconds
                self._write("back off")
            case Close():
                self._offset = None
            case Open(url=url, offset=offset):
                return self._open(url, offset)
            case Read(limit=limit):
                return self._read(limit)
            case Ask():
                return self._answer(step)
        return self._reply()

    def _write(self, line: str) -> int | None:
        self.transcript.append(line)
        self.on_line(line)
        for beginning, statuses in self.statuses.items():
            if line.startswith(beginning) and statuses:
                return statuses.pop(0)
        return None

    def _answer(self, step: Ask) -> Reply:
        assert step.url.startswith(BASE)
        path = step.url.removeprefix(BASE)
        document: Any = json.loads(step.body) if step.body else {}
        said = ""
        if path.endswith("/feedback"):
            status = document["status"]
            said = f" {status['execution']} {status['result']['finished']}"
        shown = self.show
        forced = self._write(f"{step.method} {path or '/'}{said}")
        if forced is not None:
            return self._reply(status=forced)
        if step.method == "HEAD":
            return self._reply(status=200)
        match path.split("?")[0].split("/")[1:]:
            case []:
                return self._json(self._poll())
            case ["configData"]:
                self.attributes.append(document["data"])
                self.wants_attributes = False
            case ["log"]:
                self.logs.append(document)
            case ["deploymentBase", _]:
                return self._json(self._deployment())
            case ["cancelAction", number]:
                return self._json({"id": number, "cancelAction": {"stopId": number}})
            case [kind, number, "feedback"]:
                if shown == "nothing" or int(number) != self.action_id:
                    return self._reply(status=410)
                if " closed" in said:
                    self.show = "nothing"
                elif " rejected" in said:
                    self.show = "offer"
                assert kind in ("deploymentBase", "cancelAction")
            case _:
                raise AssertionError(f"nothing is at {path}")
        return self._reply(status=200)

    def _poll(self) -> dict[str, Any]:
        links: dict[str, Any] = {}
        if self.show == "offer":
            tag = "".join(self.handling.values())
            links["deploymentBase"] = {"href": f"{BASE}/deploymentBase/{self.action_id}?c={tag}"}
        if self.show == "cancel":
            links["cancelAction"] = {"href": f"{BASE}/cancelAction/{self.action_id}"}
        if self.wants_attributes:
            links["configData"] = {"href": f"{BASE}/configData"}
        if self.wants_log:
            links["log"] = {"href": f"{BASE}/log"}
        return {"config": {"polling": {"sleep": self.sleep}}, "_links": links}

    def _deployment(self) -> dict[str, Any]:
        artifact = {
            "filename": "x1-02.swu",
            "size": len(self.announced),
            "hashes": {
                "sha1": hashlib.sha1(self.announced, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(self.announced).hexdigest(),
            },
            "_links": {"download": {"href": f"{BASE}/softwaremodules/77/artifacts/x1-02.swu"}},
        }
        chunk = {"part": self.part, "name": "FOTA", "version": "02", "artifacts": [artifact]}
        return {"id": str(self.action_id), "deployment": {**self.handling, "chunks": [chunk]}}

    def _open(self, url: str, offset: int) -> Reply:
        assert re.search("/softwaremodules/77/artifacts/", url)
        forced = self._write(f"open {offset}")
        if forced is not None:
            return self._reply(status=forced, start=offset)
        if offset >= len(self.file) > 0:
            return self._reply(status=416)
        self._offset = offset
        return self._reply(status=206 if offset else 200, start=offset)

    def _read(self, limit: int) -> Reply:
        assert self._offset is not None, "reads only what is open"
        if self.lost_reads and self._offset >= self.lost_reads[0]:
            self.lost_reads.pop(0)
            return self._reply()
        piece = self.file[self._offset : self._offset + limit]
        self._offset += len(piece)
        return self._reply(status=200, body=piece)

    def _json(self, document: object) -> Reply:
        return self._reply(status=200, body=json.dumps(document).encode())

    def _reply(self, *, status: int = 0, body: bytes = b"", start: int = 0) -> Reply:
        return Reply(now=self.now, status=status, body=body, start=start)
