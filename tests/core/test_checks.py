"""Who may be in a campaign: the order of the checks, IMEIs, and the pilot rule."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.checks import Candidate, Wanted, check_device, is_imei
from overair.core.pilot import is_proven
from overair.core.upgrade import Reason

GOOD = Candidate(
    make="Acme",
    model="M1",
    protocol="HTTP",
    version="1.0",
    software=frozenset(),
    eligible=True,
    status="Active",
    in_campaign=False,
    licensed=True,
)
WANTED = Wanted(make="Acme", model="M1", protocol="HTTP", from_version="1.0", license_needed=True)

# The checks in their order (lifecycle.md 2.3), each with a device that fails only this one.
ORDER: list[tuple[Reason, dict[str, object]]] = [
    (Reason.UNKNOWN_TYPE, {"protocol": "MQTT"}),
    (Reason.NOT_ELIGIBLE, {"eligible": False}),
    (Reason.NOT_ACTIVE, {"status": "Suspended"}),
    (Reason.IN_CAMPAIGN, {"in_campaign": True}),
    (Reason.MAKE_MODEL, {"model": "M2"}),
    (Reason.VERSION, {"version": "0.9"}),
    (Reason.NO_LICENSE, {"licensed": False}),
]


def changed(**changes: object) -> Candidate:
    return replace(GOOD, **changes)  # type: ignore[arg-type]  # a table of changes, by name


def test_a_fitting_device_passes() -> None:
    """A device against which nothing speaks clears all checks."""
    assert check_device(GOOD, WANTED) is Reason.CHECKED


def test_an_unknown_device_is_not_found() -> None:
    """A device that the account does not have is not found, whatever else would be wrong."""
    assert check_device(None, WANTED) is Reason.NOT_FOUND


@pytest.mark.parametrize(("reason", "changes"), ORDER, ids=[reason.value for reason, _ in ORDER])
def test_each_check_has_its_reason(reason: Reason, changes: dict[str, object]) -> None:
    """A device that fails one check is told that one."""
    assert check_device(changed(**changes), WANTED) is reason


def test_the_first_reason_is_told() -> None:
    """A device that fails several checks is told the earliest."""
    for place in range(len(ORDER)):
        # An unknown type fails the protocol of the package too; the later checks add up.
        everything: dict[str, object] = {}
        for _, changes in ORDER[place:]:
            everything |= changes
        assert check_device(changed(**everything), WANTED) is ORDER[place][0]
    for (first, one), (_, other) in pairwise(ORDER):
        assert check_device(changed(**(one | other)), WANTED) is first


@pytest.mark.parametrize("changes", [{"make": "ACME"}, {"model": "m1"}, {"status": "ACTIVE"}])
def test_words_are_compared_without_case(changes: dict[str, object]) -> None:
    """Make, model and status differ in case between systems."""
    assert check_device(changed(**changes), WANTED) is Reason.CHECKED


@pytest.mark.parametrize("changes", [{"make": "Other"}, {"model": "M2"}, {"protocol": "LWM2M"}])
def test_the_package_must_fit(changes: dict[str, object]) -> None:
    """Another make, another model, or another protocol is a device that the package is not for."""
    assert check_device(changed(**changes), WANTED) is Reason.MAKE_MODEL


@pytest.mark.parametrize("protocol", ["HTTP", "OMADM", "LWM2M"])
def test_each_protocol_has_its_devices(protocol: str) -> None:
    """A device over any of the three protocols may be in a campaign of its protocol."""
    wanted = replace(WANTED, protocol=protocol)
    assert check_device(changed(protocol=protocol), wanted) is Reason.CHECKED


def test_the_prerequisite_may_be_a_name() -> None:
    """It is met by the version that the device runs, or by the name of what gave it that one."""
    given = frozenset({("first", "1.0"), ("second", "2.0")})
    device = changed(version="2.0", software=given)
    for wanted in ("2.0", "second"):
        assert check_device(device, replace(WANTED, from_version=wanted)) is Reason.CHECKED
    # What it ran before does not count, by name or by version.
    for wanted in ("1.0", "first", "3.0", ""):
        assert check_device(device, replace(WANTED, from_version=wanted)) is Reason.VERSION


def test_files_have_no_prerequisite() -> None:
    """A configuration file goes on a device of any version (lifecycle.md 9)."""
    assert check_device(changed(version=""), replace(WANTED, from_version=None)) is Reason.CHECKED


def test_a_license_only_where_it_is_needed() -> None:
    """Accounts that pay by event need no licences."""
    free = replace(WANTED, license_needed=False)
    assert check_device(changed(licensed=False), free) is Reason.CHECKED


@pytest.mark.parametrize(
    ("text", "plain", "checked"),
    [
        ("490154203237518", True, True),
        ("490154203237519", True, False),
        ("356938035643809", True, True),
        ("352099001761481", True, True),
        ("49015420323751", False, False),
        ("4901542032375180", False, False),
        ("49015420323751x", False, False),
        (" 490154203237518", False, False),
        ("490154203237518\n", False, False),
        ("", False, False),
        # Digits elsewhere in Unicode are no digits of an IMEI.
        ("４９０１５４２０３２３７５１８", False, False),
        ("000000000000000", True, True),
    ],
)
def test_imeis(text: str, plain: bool, checked: bool) -> None:
    """An IMEI is fifteen digits; the last is right by Luhn's formula, where that is asked."""
    assert is_imei(text) is plain
    assert is_imei(text, check_digit=True) is checked


@given(st.from_regex(r"[0-9]{14}", fullmatch=True))
def test_one_check_digit_is_right(beginning: str) -> None:
    """Of the ten IMEIs with the same beginning exactly one has the right check digit."""
    right = [d for d in "0123456789" if is_imei(beginning + d, check_digit=True)]
    assert len(right) == 1


@pytest.mark.parametrize(
    ("succeeded", "failed", "proven"),
    [
        (0, 0, False),
        (4, 0, False),  # too few
        (5, 0, True),
        (3, 2, True),  # five outcomes, 60 %
        (2, 3, False),
        (3, 3, True),  # exactly half
        (49, 51, False),
        (100, 101, False),
        (0, 5, False),
    ],
)
def test_pilots_prove_a_package(succeeded: int, failed: int, proven: bool) -> None:
    """Five outcomes, half of them successes, lift the limit (lifecycle.md 2.4)."""
    assert is_proven(succeeded, failed, outcomes=5, success_percent=50) is proven


@given(st.integers(0, 200), st.integers(0, 200))
def test_one_more_success_never_unproves(succeeded: int, failed: int) -> None:
    """A success cannot take a proof away."""
    before = is_proven(succeeded, failed, outcomes=5, success_percent=50)
    assert is_proven(succeeded + 1, failed, outcomes=5, success_percent=50) >= before
