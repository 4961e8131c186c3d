"""Addresses and headers of DDI requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.ddi.route import (
    METHODS,
    Resource,
    Route,
    accepts_json,
    is_json,
    parse_path,
)
from overair.protocols.ddi.values import DdiError

BASE = "/default/controller/v1/990013907835573"


def route(resource: Resource, **rest: object) -> Route:
    """Return a route of the device that the examples use."""
    return Route(resource, "default", "990013907835573", **rest)  # type: ignore[arg-type] # test


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", route(Resource.BASE)),
        ("/", route(Resource.BASE)),
        ("/configData", route(Resource.CONFIG_DATA)),
        ("/configData/", route(Resource.CONFIG_DATA)),
        ("/log", route(Resource.LOG)),
        ("/deploymentBase/4711", route(Resource.DEPLOYMENT, action_id=4711)),
        ("/deploymentBase/4711/", route(Resource.DEPLOYMENT, action_id=4711)),
        ("/deploymentBase/4711/feedback", route(Resource.DEPLOYMENT_FEEDBACK, action_id=4711)),
        ("//deploymentBase//4711", route(Resource.DEPLOYMENT, action_id=4711)),
        ("/cancelAction/2147483647", route(Resource.CANCEL, action_id=2147483647)),
        ("/cancelAction/0/feedback", route(Resource.CANCEL_FEEDBACK, action_id=0)),
        ("/installedBase/1", route(Resource.INSTALLED, action_id=1)),
        ("/installedBase", route(Resource.INSTALLED_REPORT)),
        ("/softwaremodules/77/artifacts", route(Resource.ARTIFACTS, module_id=77)),
        (
            "/softwaremodules/77/artifacts/x1-02.swu",
            route(Resource.ARTIFACT, module_id=77, file_name="x1-02.swu"),
        ),
        (
            "/softwaremodules/77/artifacts/x1-02.swu.MD5SUM",
            route(Resource.ARTIFACT_MD5SUM, module_id=77, file_name="x1-02.swu"),
        ),
        (
            "/softwaremodules/77/artifacts/.MD5SUM",
            route(Resource.ARTIFACT, module_id=77, file_name=".MD5SUM"),
        ),
        (
            "/softwaremodules/77/artifacts/a%20b%2Fc%C3%A9.swu",
            route(Resource.ARTIFACT, module_id=77, file_name="a b/c\u00e9.swu"),
        ),
    ],
)
def test_every_resource_has_its_address(path: str, expected: Route) -> None:
    """The addresses of section 5, as text and as the bytes of the wire."""
    assert parse_path(BASE + path) == expected
    assert parse_path((BASE + path).encode()) == expected
    assert expected.allowed == METHODS[expected.resource]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/default",
        "/default/controller/v1",
        "/default/controller/v2/1",
        "/default/other/v1/1",
        BASE + "/deploymentBase",
        BASE + "/deploymentBase/4711/other",
        BASE + "/deploymentBase/4711/feedback/x",
        BASE + "/installedBase/4711/feedback",
        BASE + "/confirmationBase",
        BASE + "/configData/x",
        BASE + "/deploymentBase/abc",
        BASE + "/deploymentBase/-1",
        BASE + "/deploymentBase/2147483648",
        BASE + "/deploymentBase/" + "1" * 5000,
        BASE + "/deploymentBase/\u0664\u0667",
        BASE + "/deploymentBase/%D9%A4",
        BASE + "/softwaremodules/x/artifacts",
        BASE + "/softwaremodules/1/artifacts/a/b",
        BASE + "/softwaremodules/1/other",
        BASE + "/softwaremodules/1/artifacts/a%00b",
        "/default/controller/v1/a%0Ab",
        "/default/controller/v1/a\x00b",
        "/default/controller/v1/\ud800",
    ],
)
def test_other_paths_are_nothing(path: str) -> None:
    """Any other path is 404."""
    assert parse_path(path) is None


@pytest.mark.parametrize(
    ("path", "controller_id"),
    [
        (b"/acme/controller/v1/board-0a:1", "board-0a:1"),
        (b"/acme/controller/v1/a%2Fb", "a/b"),
        (b"/acme/controller/v1/a%zz", "a%zz"),
        (b"/acme/controller/v1/m%C3%B6", "m\u00f6"),
        (b"/acme/controller/v1/m\xc3\xb6", "m\u00f6"),
        (b"/acme/controller/v1/\xff", "\ufffd"),
        (b"//acme///controller/v1/a//", "a"),
        (b"/acme/controller/v1/" + b"a" * 256, "a" * 256),
    ],
)
def test_controller_ids_are_decoded(path: bytes, controller_id: str) -> None:
    """An encoded slash belongs to the id; slashes that are doubled belong to nobody."""
    assert parse_path(path) == Route(Resource.BASE, "acme", controller_id)


def test_a_controller_id_has_a_length() -> None:
    """More than 256 characters is 400."""
    with pytest.raises(DdiError) as refused:
        parse_path("/acme/controller/v1/" + "a" * 257)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("application/json", True),
        ("application/hal+json", True),
        ("APPLICATION/JSON;charset=UTF-8", True),
        ("text/html, application/*;q=0.1", True),
        ("text/html", False),
        ("application/json;q=0", False),
        ("application/json; Q=0.00, text/*", False),
        ("application/json;q=0.001", True),
        ("application/cbor", False),
    ],
)
def test_accept(accept: str | None, accepted: bool) -> None:
    """JSON is given to whoever does not exclude it (4.3)."""
    assert accepts_json(accept) is accepted


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        (None, True),
        ("", True),
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ("application/cbor", False),
        ("text/plain", False),
        ("application/jsonx", False),
    ],
)
def test_content_type(content_type: str | None, taken: bool) -> None:
    """JSON with any parameters, or no type at all (4.4)."""
    assert is_json(content_type) is taken


@given(st.text() | st.text("/%0aA.\x00", max_size=20))
def test_any_path_is_a_route_or_nothing(rest: str) -> None:
    """No path raises anything but the protocol's error, and ids can be stored."""
    for path in (rest, BASE + "/" + rest, "/t/controller/v1/" + rest):
        for form in (path, path.encode("utf-8", "surrogatepass")):
            try:
                found = parse_path(form)
            except DdiError:
                continue
            if found is not None:
                f"{found.tenant}{found.controller_id}{found.file_name}".encode()
                assert found.action_id < 2**31


@given(st.binary())
def test_any_bytes_are_a_route_or_nothing(rest: bytes) -> None:
    """The same for bytes that are no text."""
    found = parse_path(b"/t/controller/v1/a" + rest)
    assert found is None or found.tenant == "t"


@given(st.text())
def test_any_header_is_answered(header: str) -> None:
    """Header checks say yes or no."""
    assert accepts_json(header) in (True, False)
    assert is_json(header) in (True, False)
