"""The messages of the specification, as bytes. Where they come from: data/README.md."""

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"

# Every message of the specification's examples. R1 has Type before Format, as some clients write it.
NAMES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "r1", "x1")
IN_OUR_ORDER = tuple(name for name in NAMES if name != "r1")


def xml(name: str) -> bytes:
    """Return a message in XML, without the line breaks and indents it is shown with."""
    text = (DATA / f"{name}.xml").read_text("utf-8")
    return "".join(line.strip() for line in text.splitlines()).encode()


def wbxml(name: str) -> bytes:
    """Return a message in WBXML."""
    return bytes.fromhex((DATA / f"{name}.wbxml.hex").read_text("ascii"))


def digests() -> dict[str, Any]:
    """Return the digests of section 17.1."""
    read: dict[str, Any] = json.loads((DATA / "digests.json").read_text("utf-8"))
    return read
