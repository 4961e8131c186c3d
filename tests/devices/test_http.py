"""The general HTTP rules (http-ddi 4) and status codes (10)."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.devices.field import Field, Peer, href_of, open_field, request, target_of, told
from tests.serving import ServerName

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def busy(field: Field) -> tuple[Peer, int]:
    """A device and its action."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, _ = await peer.retrieve()
    return peer, action


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_success_is_exactly_200_and_empty(tmp_path: Path, on: ServerName) -> None:
    """Every PUT and POST that is taken is answered 200 with Content-Length 0."""
    async with open_field(tmp_path, on=on) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        await field.switch_logging_on(1)
        action, _ = await peer.retrieve()
        log = json.dumps({"logType": "Event", "eventLog": "up"}).encode()
        attributes = json.dumps({"data": {"hw": "2"}}).encode()
        for method, path, body in (
            ("PUT", "/configData", attributes),
            ("PUT", "/configData", attributes),
            ("POST", f"/deploymentBase/{action}/feedback", told("proceeding")),
            ("POST", "/log", log),
            ("POST", f"/deploymentBase/{action}/feedback", told("closed", "success")),
        ):
            reply = await peer.ask(method, path, JSON, body)
            assert reply.status == 200, path
            assert reply.body == b""
            assert reply.header("Content-Length") == "0"
            assert reply.header("Transfer-Encoding") is None


async def test_json_answers_have_type_and_length(busy: tuple[Peer, int]) -> None:
    """JSON answers are application/hal+json with a Content-Length, neither chunked nor packed."""
    peer, action = busy
    module = href_of((await peer.get(f"/deploymentBase/{action}")).json()).split("/")[-3]
    for path in ("", f"/deploymentBase/{action}", f"/softwaremodules/{module}/artifacts"):
        reply = await peer.get(path, {"Accept-Encoding": "gzip, deflate, br"})
        assert reply.status == 200
        assert reply.header("Content-Type") == "application/hal+json"
        assert reply.header("Content-Length") == str(len(reply.body))
        assert reply.header("Transfer-Encoding") is None
        assert reply.header("Content-Encoding") is None
        json.loads(reply.body)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", 200),
        ("application/json", 200),
        ("application/hal+json", 200),
        ("application/hal+json;charset=UTF-8", 200),
        ("Application/JSON; q=0.5", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/*", 200),
        ("text/html", 406),
        ("application/cbor", 406),
        ("application/json;q=0", 406),
    ],
)
async def test_accept(busy: tuple[Peer, int], accept: str, expected: int) -> None:
    """JSON is given to whoever allows it, else 406."""
    peer, action = busy
    for path in ("", f"/deploymentBase/{action}"):
        reply = await peer.get(path, {"Accept": accept})
        assert reply.status == expected
        if expected == 406:
            assert reply.header("Content-Type") == "application/json"


async def test_accept_stands_in_no_report_s_way(busy: tuple[Peer, int]) -> None:
    """Feedback, whose answer is empty, and downloads are given whatever Accept says."""
    peer, action = busy
    path = f"/deploymentBase/{action}/feedback"
    headers = {"Accept": "text/html"}
    assert (await peer.ask("POST", path, headers | JSON, told("proceeding"))).status == 200
    href = href_of((await peer.get(f"/deploymentBase/{action}")).json())
    assert (await peer.get(href, headers)).status == 200
    assert (await peer.get(f"{href}.MD5SUM", headers)).status == 200


async def test_odd_headers_of_clients_are_ignored(busy: tuple[Peer, int]) -> None:
    """SWUpdate's Content-Type on GET and its `charsets` header change nothing."""
    peer, action = busy
    odd = {"Content-Type": "application/json", "charsets": "utf-8", "Content-Length": "0"}
    for path in ("", f"/deploymentBase/{action}"):
        assert (await peer.get(path, odd)).status == 200


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", 200),
        ("application/json", 200),
        ("application/json;charset=UTF-8", 200),
        ("APPLICATION/JSON ; x=y", 200),
        ("application/hal+json", 415),
        ("application/cbor", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_content_type(busy: tuple[Peer, int], content_type: str, expected: int) -> None:
    """Bodies are application/json with any parameters, or say nothing of themselves."""
    peer, action = busy
    headers = {"Content-Type": content_type}
    for method, path, body in (
        ("POST", f"/deploymentBase/{action}/feedback", told("proceeding")),
        ("PUT", "/configData", b'{"data": {"hw": "2"}}'),
    ):
        assert (await peer.ask(method, path, headers, body)).status == expected


async def test_json_is_read_leniently(busy: tuple[Peer, int]) -> None:
    """Unknown members, raw control characters, broken text and odd types do not lose a report."""
    peer, action = busy
    path = f"/deploymentBase/{action}/feedback"
    status = b'"status":{"execution":"proceeding","result":{"finished":"none"'
    bodies = [
        b'{%s},"details":["one\ntwo\x00\x01\x1b[31m\ttab"]}}' % status,
        b'{%s},"details":["cut \xff\xfe \xed\xa0\x80 off"]}}' % status,
        b'{%s},"details":["\\ud800 lone"]}}' % status,
        b'{%s},"details":null}}' % status,
        b'{%s},"code":"twelve"}}' % status,
        b'{%s},"code":1e400,"extra":[1,{"a":null}]}}' % status,
        b'{%s,"progress":{"cnt":3,"of":0}}}}' % status,
        b'{%s,"progress":[]}}}' % status,
        b'{"id":4711,"time":{},"timestamp":"x",%s}}}' % status,
        b'{"id":null,"time":"20260102T030405","timestamp":1767323045000,%s}}}' % status,
        b"\xef\xbb\xbf{%s}}}" % status,
        b'{"status":1,%s}}}' % status,
        b'{%s},"code":%s}}' % (status, b"9" * 5000),
    ]
    for body in bodies:
        assert (await peer.ask("POST", path, JSON, body)).status == 200, body[:90]
    newest = await peer.field.messages(action)
    assert "one\ntwo\ufffd\x01\x1b[31m\ttab" in [line for m in newest for line in m.details]


async def test_errors_are_documents_for_people(busy: tuple[Peer, int]) -> None:
    """Every error but 401 is a JSON object with errorCode and message."""
    peer, action = busy
    feedback = f"/deploymentBase/{action}/feedback"
    answers = [
        await peer.get("/deploymentBase/999"),
        await peer.get("/nowhere"),
        await peer.ask("DELETE"),
        await peer.get("", {"Accept": "text/html"}),
        await peer.ask("POST", feedback, {"Content-Type": "text/plain"}, b"{}"),
        await peer.ask("POST", feedback, JSON, b"{"),
        await peer.ask("POST", feedback, JSON, b" " * (256 * 1024 + 1)),
        await peer.ask("POST", "/log", JSON, b"{}"),
    ]
    assert [a.status for a in answers] == [404, 404, 405, 406, 415, 400, 413, 403]
    for answer in answers:
        assert answer.header("Content-Type") == "application/json"
        assert answer.json()["errorCode"]
        assert answer.json()["message"]


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_head_works_wherever_get_does(tmp_path: Path, on: ServerName) -> None:
    """HEAD has the status and headers of GET and no body."""
    async with open_field(tmp_path, on=on) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        done = await peer.succeed()
        await field.add(2)
        await field.campaign(2)
        other = field.peer(2)
        action, document = await other.retrieve()
        href = href_of(document)
        listing = href.rsplit("/", 1)[0]
        wire = await field.wire()
        for asked, path in (
            (peer, ""),
            (peer, f"/installedBase/{done}"),
            (other, ""),
            (other, f"/deploymentBase/{action}"),
            (other, href),
            (other, f"{href}.MD5SUM"),
            (other, listing),
        ):
            get, head = await asked.get(path), await asked.ask("HEAD", path)
            assert get.status == head.status == 200, path
            assert head.body == b""
            for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
                assert get.header(name) == head.header(name), (path, name)
            target = target_of(path) if path.startswith("http") else f"{asked.base}{path}"
            again = await wire.ask("HEAD", target, asked.headers)
            assert again.status == 200  # and the connection is still good


async def test_head_changes_nothing(field: Field) -> None:
    """Asking HEAD is neither a check-in nor does it take a deployment up."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    assert (await peer.ask("HEAD")).status == 200
    assert await peer.check_ins() == []
    action = await peer.offered()
    assert action is not None
    assert (await peer.ask("HEAD", f"/deploymentBase/{action}")).status == 200
    assert await field.state(action) == "offered"
    assert (await peer.get(f"/deploymentBase/{action}")).status == 200
    assert await field.state(action) == "retrieved"


async def test_other_methods_are_405_with_allow(busy: tuple[Peer, int]) -> None:
    """Each resource says which methods it has."""
    peer, action = busy
    everything = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW")
    for path, allowed in (
        ("", "GET, HEAD"),
        ("/configData", "PUT"),
        (f"/deploymentBase/{action}", "GET, HEAD"),
        (f"/deploymentBase/{action}/feedback", "POST"),
        (f"/cancelAction/{action}", "GET, HEAD"),
        (f"/cancelAction/{action}/feedback", "POST"),
        (f"/installedBase/{action}", "GET, HEAD"),
        ("/installedBase", ""),
        ("/softwaremodules/1/artifacts", "GET, HEAD"),
        ("/softwaremodules/1/artifacts/x", "GET, HEAD"),
        ("/softwaremodules/1/artifacts/x.MD5SUM", "GET, HEAD"),
        ("/log", "POST"),
    ):
        for method in everything:
            if method in allowed.split(", "):
                continue
            reply = await peer.ask(method, path)
            assert reply.status == 405, (method, path)
            assert reply.header("Allow") == allowed


async def test_the_body_limit(busy: tuple[Peer, int]) -> None:
    """A body of 256 KiB is read, one more byte is 413, told before or found out."""
    peer, action = busy
    path = f"/deploymentBase/{action}/feedback"
    plain = told("proceeding")
    limit = 256 * 1024
    assert (await peer.ask("POST", path, JSON, plain.ljust(limit))).status == 200
    assert (await peer.ask("POST", path, JSON, plain.ljust(limit + 1))).status == 413
    assert (await peer.ask("PUT", "/configData", JSON, b" " * (limit + 1))).status == 413
    wire = await peer.field.wire()
    head = request("POST", f"{peer.base}{path}", peer.headers | JSON | {"Content-Length": ""})
    head = head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    await wire.send(head + b"10000\r\n" + b" " * 65536 + b"\r\n" + b"40000\r\n" + b" " * 262144)
    assert (await wire.reply()).status == 413
    told_only = await peer.field.wire()
    await told_only.send(
        request("POST", f"{peer.base}{path}", peer.headers | JSON | {"Content-Length": "300000"})
    )
    assert (await asyncio.wait_for(told_only.reply(), 10)).status == 413


async def test_the_body_limit_can_be_set(tmp_path: Path) -> None:
    """A larger or smaller limit is heard."""
    for limit in (1024, 1024 * 1024):
        async with open_field(tmp_path / str(limit), device_body_bytes=limit) as field:
            peer = await field.new_peer(1)
            await field.campaign(1)
            action, _ = await peer.retrieve()
            path = f"/deploymentBase/{action}/feedback"
            for size, expected in ((limit, 200), (limit + 1, 413)):
                body = told("proceeding").ljust(size)
                assert (await peer.ask("POST", path, JSON, body)).status == expected


async def test_48_log_lines_of_2_kib_are_taken(busy: tuple[Peer, int]) -> None:
    """The largest report that SWUpdate sends is taken whole."""
    peer, action = busy
    lines = [f"{n:02d}" + "x" * 2046 for n in range(48)]
    assert (await peer.say(action, "proceeding", "none", *lines)).status == 200
    assert (await peer.field.messages(action))[0].details == tuple(lines)


async def test_a_chunked_body_is_read(busy: tuple[Peer, int]) -> None:
    """A body in chunks counts like any other."""
    peer, action = busy
    body = told("proceeding", "none", "in pieces")
    head = request(
        "POST",
        f"{peer.base}/deploymentBase/{action}/feedback",
        peer.headers | {"Content-Length": "", "Transfer-Encoding": "chunked"},
    )
    wire = await peer.field.wire()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    await wire.send(head + pieces + b"0\r\n\r\n")
    assert (await wire.reply()).status == 200
    assert (await peer.field.messages(action))[0].details == ("in pieces",)


async def test_a_body_that_is_expected_by_100_continue(busy: tuple[Peer, int]) -> None:
    """libcurl waits for 100 before it sends a body; it gets one."""
    peer, action = busy
    body = told("proceeding")
    raw = request(
        "POST",
        f"{peer.base}/deploymentBase/{action}/feedback",
        peer.headers | JSON | {"Expect": "100-continue"},
        body,
    )
    wire = await peer.field.wire()
    await wire.send(raw[: -len(body)])
    assert (await asyncio.wait_for(wire.reply(), 10)).status == 100
    await wire.send(body)
    assert (await wire.reply()).status == 200


async def test_a_request_that_breaks_off_changes_nothing(busy: tuple[Peer, int]) -> None:
    """Half a report is no report."""
    peer, action = busy
    raw = request(
        "POST",
        f"{peer.base}/deploymentBase/{action}/feedback",
        peer.headers | JSON,
        told("closed", "success"),
    )
    wire = await peer.field.wire()
    await wire.send(raw[:-5])
    await wire.close()
    wire = await peer.field.wire()
    await wire.send(raw[:-5])
    wire.writer.write_eof()  # and it reads on
    reply = await asyncio.wait_for(wire.reply("POST"), 10)
    assert (reply.status, reply.json()["errorCode"]) == (400, "ddi.not_readable")
    await wire.close()
    assert await peer.offered() == action
    assert await peer.field.state(action) == "retrieved"
    assert await peer.field.messages(action) == []


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_keep_alive_and_parallel_connections(tmp_path: Path, on: ServerName) -> None:
    """A device reports and polls on other connections while it downloads on one."""
    async with open_field(tmp_path, on=on) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        action, document = await peer.retrieve()
        downloads = await field.wire()
        await downloads.send(request("GET", target_of(href_of(document)), peer.headers))
        polls, reports = await field.wire(), await field.wire()
        for _ in range(5):
            assert (await polls.ask("GET", peer.base, peer.headers)).status == 200
            reply = await reports.ask(
                "POST",
                f"{peer.base}/deploymentBase/{action}/feedback",
                peer.headers | JSON,
                told("proceeding"),
            )
            assert reply.status == 200
        assert (await downloads.reply()).status == 200
        assert (await downloads.ask("GET", peer.base, peer.headers)).status == 200


async def test_a_refusal_does_not_end_the_connection(busy: tuple[Peer, int]) -> None:
    """After an error with a body that was read the connection goes on."""
    peer, action = busy
    wire = await peer.field.wire()
    path = f"{peer.base}/deploymentBase/{action}/feedback"
    for _ in range(3):
        assert (await wire.ask("POST", path, peer.headers | JSON, b"{")).status == 400
        assert (await wire.ask("GET", peer.base, {})).status == 401
        assert (await wire.ask("GET", peer.base, peer.headers)).status == 200


async def test_a_large_header_or_target_is_no_server_error(field: Field) -> None:
    """Absurd requests are refused by the caller's fault."""
    await field.add(1)
    for raw in (
        b"GET /default/controller/v1/" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 900_000 + b"\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /default/controller/v1/x HTTP/9.9\r\n\r\n",
        b"GET /default/controller/v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /default/controller/v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1e5\r\n\r\n",
    ):
        wire = await field.wire()
        try:
            await wire.send(raw)
            answer = await asyncio.wait_for(wire.reader.read(100), 10)
            assert answer == b"" or 400 <= int(answer.split(b" ")[1]) < 500, raw[:60]
        except OSError:
            pass  # closed in the middle of it
    assert (await field.peer(1).get()).status == 200
