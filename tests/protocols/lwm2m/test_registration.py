"""Registrations, as clients ask for them (lwm2m 3, 17)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.message import decode_message
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import read_request
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import RegistrationError
from overair.protocols.lwm2m.registration import (
    ObjectList,
    Register,
    Update,
    created,
    deregister_request,
    read_register,
    read_update,
    register_request,
    update_request,
)
from tests.protocols.coap.vectors import DATAGRAMS

EP = "ep=urn:imei:490154203237518"


def _request(*query: str, links: bytes = b"</3/0>", content_format: int | None = 40) -> Request:
    return Request(
        method=Code.POST,
        path=("rd",),
        query=query,
        content_format=content_format,
        payload=links,
    )


def _read(*query: str) -> Register:
    return read_register(_request(EP, *query))


def _code(request: Request, *, update: bool = False) -> int:
    with pytest.raises(RegistrationError) as error:
        (read_update if update else read_register)(request)
    return error.value.code


def test_the_register_of_the_specification() -> None:
    """Name, lifetime, version, queue mode, objects with their versions, and the formats."""
    name = "Register, LwM2M 1.1, queue mode"
    register = read_register(read_request(decode_message(DATAGRAMS[name])))
    assert register == Register(
        endpoint="urn:imei:490154203237518",
        lifetime=86400,
        version="1.1",
        binding="U",
        queue_mode=True,
        objects=ObjectList(
            paths=frozenset({(1, 1), (3, 0), (4, 0), (5, 0)}),
            versions={5: "1.1"},
            formats=frozenset({60, 110, 112, 11542, 11543}),
        ),
    )
    assert register.objects.has(5)
    assert not register.objects.has(9)
    assert register.objects.instances(1) == (1,)
    assert (register.objects.version(5), register.objects.version(3)) == ("1.1", "1.0")


def test_what_may_be_missing() -> None:
    """Lifetime, version, binding and content format have defaults."""
    assert _read() == Register(
        endpoint="urn:imei:490154203237518", objects=ObjectList(paths=frozenset({(3, 0)}))
    )
    assert read_register(_request(EP, content_format=None)).objects.has(3)
    assert read_register(_request("lwm2m=1.1")).endpoint is None
    assert _code(_request("lwm2m=1.0")) == Code.BAD_REQUEST


@pytest.mark.parametrize("name", ["ep=", "ep=" + "a" * 256, "ep=a\x00b", "ep=a\nb", "ep", "EP=a"])
def test_names_that_are_none(name: str) -> None:
    """Nothing, more than 255 bytes, or what cannot be shown."""
    assert _code(_request(name)) == Code.BAD_REQUEST
    assert read_register(_request("ep=" + "é" * 127)).endpoint == "é" * 127


@pytest.mark.parametrize(
    ("text", "lifetime"), [("0", 0), ("60", 60), ("2147483647", 2**31 - 1), ("00060", 60)]
)
def test_lifetimes(text: str, lifetime: int) -> None:
    """Seconds; 0 has no end."""
    assert _read(f"lt={text}").lifetime == lifetime


@pytest.mark.parametrize("text", ["-1", "", "x", "1.5", "2147483648", "²", "9" * 11])
def test_lifetimes_that_are_none(text: str) -> None:
    """Negative ones, and what is no number, are 4.00."""
    assert _code(_request(EP, f"lt={text}")) == Code.BAD_REQUEST
    assert _code(_request(f"lt={text}"), update=True) == Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("asked", "served"),
    [("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.2"), ("1.3", "1.1"), ("1.10", "1.1")],
)
def test_versions(asked: str, served: str) -> None:
    """An unknown 1.x is served as 1.1."""
    assert _read(f"lwm2m={asked}").version == served


@pytest.mark.parametrize("version", ["2.0", "1", "", "x", "0.9", "1.x"])
def test_versions_that_are_not_served(version: str) -> None:
    """4.12, which makes some clients give up for good, is for those only."""
    assert _code(_request(EP, f"lwm2m={version}")) == Code.PRECONDITION_FAILED


@pytest.mark.parametrize(
    ("query", "binding", "queue"),
    [
        (("b=U",), "U", False), (("b=UQ",), "UQ", True), (("b=U", "Q"), "U", True), (("Q",), "U", True),
        (("b=UQS",), "UQS", True), (("b=T", "lwm2m=1.1"), "T", False), (("b=UN", "Q="), "UN", True),
        ((), "U", False),
    ],
)  # fmt: skip
def test_bindings(query: tuple[str, ...], binding: str, queue: bool) -> None:
    """Queue mode is a Q in the binding of 1.0, and a parameter by itself later."""
    register = _read(*query)
    assert (register.binding, register.queue_mode) == (binding, queue)


def test_other_parameters() -> None:
    """A telephone number is kept, what is unknown passed over, and of two the first counts."""
    register = _read("sms=+49123", "pid=7", "whatever", "lt=60", "lt=70")
    assert (register.sms, register.lifetime) == ("+49123", 60)
    for wrong in ("b=", "b=X", "b=u", "sms=" + "1" * 21):
        assert _code(_request(EP, wrong)) == Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("links", "paths"),
    [
        (b"</5/0>,</3/0>", {(5, 0), (3, 0)}), (b"</5>", {(5,)}), (b'</5>;ver="1.1", </5/0>', {(5,), (5, 0)}),
        (b"", set()), (b'</lwm2m>;rt="oma.lwm2m",</lwm2m/5/0>,</3/0>', {(5, 0)}),
        (b'</lwm2m/>;rt="oma.lwm2m",</lwm2m/5/0>', {(5, 0)}), (b"</hello>,<5/0>,</.well-known/core>", {(5, 0)}),
        (b"</3/0/1>", {(3, 0)}), (b"</lwm2mx/5/0>", set()),
    ],
)  # fmt: skip
def test_object_lists(links: bytes, paths: set[tuple[int, ...]]) -> None:
    """With instances or without, below the root that is named, and what is no object passed over."""
    assert read_register(_request(EP, links=links)).objects.paths == paths


@pytest.mark.parametrize(
    ("links", "code"),
    [
        (b"hello", Code.BAD_REQUEST), (b"\xff", Code.BAD_REQUEST), (b"</70000/0>", Code.BAD_REQUEST),
        (b"</5/x>", Code.BAD_REQUEST), (b"</1/2/3/4/5>", Code.BAD_REQUEST),
        (b"</1>," * 1001, Code.REQUEST_ENTITY_TOO_LARGE), (b" " * 8193, Code.REQUEST_ENTITY_TOO_LARGE),
    ],
)  # fmt: skip
def test_object_lists_that_are_none(links: bytes, code: Code) -> None:
    """What cannot be read is 4.00, what is too long 4.13."""
    assert _code(_request(EP, links=links)) == code


def test_a_list_in_another_format() -> None:
    """4.15 if the client says that it is something else."""
    assert _code(_request(EP, content_format=0)) == Code.UNSUPPORTED_CONTENT_FORMAT


def test_updates() -> None:
    """Nothing, or any of lifetime, binding, queue mode, number and objects."""
    assert (
        read_update(read_request(decode_message(DATAGRAMS["Update, nothing changed"]))) == Update()
    )
    request = _request("lt=60", "b=U", "Q", "sms=1")
    assert read_update(request) == Update(
        lifetime=60,
        binding="U",
        queue_mode=True,
        sms="1",
        objects=ObjectList(paths=frozenset({(3, 0)})),
    )
    assert read_update(_request("b=U", links=b"")) == Update(binding="U", queue_mode=False)
    assert _code(_request(links=b"hello"), update=True) == Code.BAD_REQUEST


def test_the_answer() -> None:
    """Where the registration is."""
    assert created("abc") == Response(code=Code.CREATED, location=("rd", "abc"))


OBJECTS = st.builds(
    ObjectList,
    paths=st.frozensets(
        st.tuples(st.integers(0, 65535)) | st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        max_size=5,
    ),
    formats=st.frozensets(st.integers(0, 65535), max_size=3),
    root=st.sampled_from(["/", "/lwm2m"]),
)
REGISTERS = st.builds(
    Register,
    endpoint=st.text("abc:éurn0123", min_size=1, max_size=20),
    lifetime=st.integers(0, 2**31 - 1),
    version=st.sampled_from(["1.0", "1.1", "1.2"]),
    binding=st.sampled_from(["U", "T", "US"]),
    queue_mode=st.booleans(),
    sms=st.none() | st.text("+0123", max_size=20),
    objects=OBJECTS,
)


@given(REGISTERS)
def test_any_registration_survives(register: Register) -> None:
    """What a simulated device writes is what the server reads; an update too."""
    versions = {path[0]: "1.1" for path in register.objects.paths}
    register = replace(register, objects=replace(register.objects, versions=versions))
    assert read_register(register_request(register)) == register
    update = Update(lifetime=register.lifetime, objects=register.objects, sms=register.sms)
    again = read_update(update_request(("rd", "x"), update))
    assert again == (
        update
        if register.objects.paths or register.objects.formats or register.objects.root != "/"
        else replace(update, objects=None)
    )
    full = Update(binding="U", queue_mode=True)
    assert read_update(update_request(("rd", "x"), full)) == full


def test_deregistering() -> None:
    """A device that goes deletes its registration."""
    assert deregister_request(("rd", "x")) == Request(method=Code.DELETE, path=("rd", "x"))
