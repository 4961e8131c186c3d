"""``overair simulation explore``: all interleavings of what may happen to two devices, to a depth."""

from enum import StrEnum
from typing import Annotated, Any

from cyclopts import Parameter, validators

from overair.cli.options import DEFAULT, Common, print_json
from overair.cli.screen import Screen, columns
from overair.simulation.explore import GAMES, Found, explore

DEPTH = 5


class Version(StrEnum):
    """A published version, and with it the protocol of its devices."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"


def run(
    *,
    depth: Annotated[
        int, Parameter(help="How many events.", validator=validators.Number(gte=1))
    ] = DEPTH,
    version: Annotated[
        Version | None,
        Parameter(help="v1 (OMA-DM), v2 (HTTP) or v3 (LwM2M); default: each in turn."),
    ] = None,
    states: Annotated[
        int | None,
        Parameter(help="Go no deeper once there are so many.", validator=validators.Number(gte=1)),
    ] = None,
    common: Common = DEFAULT,
) -> int:
    """Let everything happen that may happen to two devices, in every order; say what must not be."""
    names = list(GAMES) if version is None else [version.value]
    found = [explore(GAMES[name](), depth, most_states=states) for name in names]
    if common.as_json:
        print_json({"explorations": [_as_json(each) for each in found]})
    else:
        _print(found)
    return 1 if any(each.violation for each in found) else 0


def _as_json(found: Found) -> dict[str, Any]:
    violation = found.violation
    return {
        "version": f"v{found.version}",
        "depth": found.depth,
        "complete": found.complete,
        "states": found.states,
        "transitions": found.transitions,
        "refused": found.refused,
        "newStatesByDepth": found.by_depth,
        "leftAlone": found.endings,
        "seconds": round(found.seconds, 3),
        "violation": violation
        and {
            "invariant": violation.invariant,
            "what": violation.what,
            "events": list(violation.events),
        },
    }


def _print(found: list[Found]) -> None:
    screen = Screen()
    table = columns("version", "depth", "states", "transitions", "left alone", "seconds")
    for each in found:
        table.add_row(
            f"v{each.version}",
            f"{each.depth}, all there is" if each.complete else str(each.depth),
            f"{each.states:,}",
            f"{each.transitions:,}",
            f"{each.endings:,}",
            f"{each.seconds:.1f}",
        )
    screen.print(table)
    broken = False
    for each in found:
        if each.violation is None:
            continue
        broken = True
        screen.print(f"v{each.version}: not so: {each.violation.invariant}", style="bold")
        screen.print(each.violation.what, markup=False)
        for number, event in enumerate(each.violation.events):
            screen.print(f"  {number:2}. {event}", markup=False)
    if not broken:
        screen.print("Every invariant holds in every state, and every state comes to an end.")
