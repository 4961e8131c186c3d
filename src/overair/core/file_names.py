"""Names of uploaded files: as the device will see them (``api.md`` 5.10, ``http-ddi.md`` 5.3).

A name has no slash, no control character and at most 100 characters, and keeps its ending, because
clients choose by it. A client of the API may send a whole path: its last component counts.
"""

import re
from typing import Final

MAX_CHARS: Final = 100
MAX_ENDING: Final = 20  # what follows the last dot is an ending only if it is short
MAX_TEXT: Final = 255  # of a version, or a path on the device

_SEPARATORS = re.compile(r"[/\\]")
_SPACES = re.compile(r"\s+")


class FileNameError(ValueError):
    """A part of an upload that cannot be used; ``part`` is its published name."""

    def __init__(self, part: str) -> None:
        super().__init__(f"{part} is missing or malformed")
        self.part = part


def clean_text(part: str, text: str) -> str:
    """A version or path without blanks around it, if it is there and can be printed."""
    stripped = text.strip()
    if not stripped or len(stripped) > MAX_TEXT or not stripped.isprintable():
        raise FileNameError(part)
    return stripped


def stored_name(uploaded: str, *, prefix: str = "") -> str:
    """The name to keep an uploaded file under, behind ``prefix``."""
    last = _SEPARATORS.split(uploaded)[-1]
    name = "".join(char for char in last if char.isprintable()).strip()
    if not name.strip("."):
        raise FileNameError("fileupload")
    room = MAX_CHARS - len(prefix)
    if len(name) > room:
        stem, dot, ending = name.rpartition(".")
        if not dot or len(ending) > MAX_ENDING:
            stem, dot, ending = name, "", ""
        # Blanks before the ending would be invisible where the stem was cut.
        stem = stem[: max(0, room - len(dot) - len(ending))].rstrip()
        if not stem:
            raise FileNameError("fileupload")
        name = stem + dot + ending
    return prefix + name


def config_file_name(make: str, model: str, uploaded: str) -> str:
    """``configfile-<make>_<model>_<uploaded name>``, make and model without spaces."""
    parts = []
    for part, text in (("make", make), ("model", model)):
        closed = _SPACES.sub("", text)
        if not closed or not closed.isprintable() or _SEPARATORS.search(closed):
            raise FileNameError(part)
        parts.append(closed)
    return stored_name(uploaded, prefix=f"configfile-{parts[0]}_{parts[1]}_")
