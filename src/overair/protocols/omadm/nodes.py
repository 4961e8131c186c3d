"""Nodes that every device has, and how their names and values are read (oma-dm 6)."""

import re

from overair.protocols.syncml.message import Item

DEV_INFO = "./DevInfo"
FIRMWARE_VERSION = "./DevDetail/FwV"
SOFTWARE_VERSION = "./DevDetail/SwV"
HARDWARE_VERSION = "./DevDetail/HwV"
LARGE_OBJECTS = "./DevDetail/LrgObj"

# More than any version or name; what is longer is none.
_MOST_CHARS = 255
_NUMBER = re.compile(r"[0-9]{1,9}")


def same_node(one: str, other: str) -> bool:
    """Tell whether two addresses are of one node; some clients leave out the dot."""
    return _plain(one) == _plain(other)


def node_of(item: Item) -> str:
    """Return the node that an item is about: its source, or else its target."""
    if item.source is not None and item.source.uri:
        return item.source.uri
    return "" if item.target is None else item.target.uri


def leaf_below(parent: str, uri: str) -> str | None:
    """Return the name of a node that stands right below another."""
    above, _, name = _plain(uri).rpartition("/")
    return name if above == _plain(parent) else None


def is_below(parent: str, uri: str) -> bool:
    """Tell whether a node is another, or stands anywhere below it."""
    return f"{_plain(uri)}/".startswith(f"{_plain(parent)}/")


def text_of(data: str | bytes | None) -> str:
    """Return data as text."""
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""


def short_text(data: str | bytes | None) -> str | None:
    """Return a name or a version; None: there is none."""
    text = text_of(data).strip()
    return text if is_name(text) else None


def is_name(text: str) -> bool:
    """Tell whether a text of the client's may go back to it as a name, in any form of message."""
    return 0 < len(text) <= _MOST_CHARS and text.isprintable()


def number(text: str | None) -> int | None:
    """Return a number that stands in a value."""
    return int(text) if text is not None and _NUMBER.fullmatch(text := text.strip()) else None


def flag(text: str | None) -> bool | None:
    """Return a bool that stands in a value."""
    return {"true": True, "1": True, "false": False, "0": False}.get((text or "").strip().lower())


def _plain(uri: str) -> str:
    return uri.removeprefix("./").strip("/")
