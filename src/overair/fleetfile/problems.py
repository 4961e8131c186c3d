"""What can be wrong with a fleet file, said with the path first and a rule that can be followed."""

import difflib
import re
from dataclasses import dataclass
from typing import Final

from overair.fleetfile.shapes import MEANINGS, MEMBERS, WORDS

MAX_PROBLEMS: Final = 20  # shown at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the file that cannot be."""

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}"


class FleetFileError(Exception):
    """The file cannot be imported; nothing was changed."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems[:MAX_PROBLEMS])))
        self.problems = problems[:MAX_PROBLEMS]


_AT = re.compile(r"(?s)(?P<text>.*?)(?: - at `(?P<path>(?:key in )?\$.*)`)?")
_KINDS: Final = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null",
    "object": "an object", "array": "a list", "date": "a date such as \"2026-01-31\"",
}  # fmt: skip


def explain(error: Exception, base: str = "$") -> Problem:
    """The decoder's message in our form: the path first, then a rule that a person can follow."""
    found = _AT.fullmatch(str(error))
    assert found is not None
    text, path = found["text"], base + (found["path"] or "$").removeprefix("key in ")[1:]
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        near = difflib.get_close_matches(match[1], MEMBERS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem(path=f"{path}.{match[1]}", rule=f"there is no such member{hint}")
    if match := re.fullmatch(r"Object missing required field `(.*)`", text):
        return Problem(path=f"{path}.{match[1]}", rule="is required")
    if match := re.fullmatch(r"(?s)Expected `str` matching regex '(.*)'", text):
        for pattern, meaning in MEANINGS.items():
            if match[1] in (pattern, repr(pattern)[1:-1]):
                return Problem(path=path, rule=meaning)
    if match := re.fullmatch(r"Expected `(.*)`, got `(.*)`", text):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | "))
        got = _KINDS.get(match[2], match[2])
        quotes = "str" in match[1].split(" | ") and match[2] in ("int", "float", "bool", "date")
        hint = ": put it in quotes" if quotes else ""
        return Problem(path=path, rule=f"has to be {wanted}, and is {got}{hint}")
    if match := re.fullmatch(r"Expected `str` of length (>=|<=) (\d+)", text):
        most = match[1] == "<="
        rule = f"has to have at most {match[2]} characters" if most else "must not be empty"
        return Problem(path=path, rule=rule)
    if text.startswith("Invalid enum value"):
        words = WORDS.get(path.rpartition(".")[2], ())
        return Problem(path=path, rule=f"has to be one of {', '.join(words)}")
    if match := re.fullmatch(r"Expected `int` (.*)", text):
        return Problem(path=path, rule=f"has to be {match[1]}")
    return Problem(path=path, rule=text[:1].lower() + text[1:])
