"""Which protocols there are, and whose devices are come to."""

import pytest

from overair.core.protocols import HTTP, LWM2M, OMADM, PUSHED, is_served


def test_protocols_are_named_as_published() -> None:
    """The names are those of the published ``protocol`` member (``api.md`` 5.4)."""
    assert (HTTP, OMADM, LWM2M) == ("HTTP", "OMADM", "LWM2M")


def test_devices_over_http_ask_by_themselves() -> None:
    """All but those over HTTP are told to come, or are come to."""
    assert {OMADM, LWM2M} == PUSHED


@pytest.mark.parametrize(
    ("protocol", "asked_for", "served"),
    [
        ("HTTP", False, True),
        ("HTTP", True, True),
        ("OMADM", False, True),
        ("OMADM", True, True),
        ("LWM2M", True, True),
        ("LWM2M", False, False),
        ("MQTT", True, False),
        ("MQTT", False, False),
    ],
)
def test_lwm2m_is_served_where_it_was_asked_for(
    protocol: str, asked_for: bool, served: bool
) -> None:
    """There is a server for HTTP and OMA-DM always, for LwM2M if asked for, for others never."""
    assert is_served(protocol, lwm2m=asked_for) is served
