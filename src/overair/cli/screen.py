"""What people see of a result: on a terminal, or in a pipe.

Names come from operators, listeners and devices. They are shown as they are: never as markup, and
without the control characters by which whoever chose them could write over the screen. In a pipe
nothing is cut or wrapped to a width that nobody sees.
"""

import os
import sys
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

PIPE_COLUMNS: Final = 1000
# A line's end may stand; all other controls, C1 among them, are shown as what they are not.
_CONTROLS: Final = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) != "\n"
}


def plain(text: str) -> str:
    """``text`` without control characters."""
    return text.translate(_CONTROLS)


class Screen(Console):
    """Standard output, for people."""

    def __init__(self) -> None:
        super().__init__(
            markup=False,
            highlight=False,
            emoji=False,
            width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Whatever is printed as a string, in a table too, comes through here."""
        return super().render_str(plain(text), **options)


def columns(*names: str) -> Table:
    """A table whose cells wrap where they must, and are not cut; the first, the name, stays whole."""
    first, *others = names
    return Table(
        Column(first, no_wrap=True),
        *(Column(name, overflow="fold") for name in others),
        box=None,
        padding=(0, 2, 0, 0),
    )
