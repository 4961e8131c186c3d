"""The table of results: class and words, and when no further attempt is worth it (lwm2m 7)."""

import pytest

from overair.protocols.lwm2m.results import Meaning, ResultClass, is_final, meaning


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        (0, ResultClass.NONE, ""),
        (1, ResultClass.SUCCESS, ""),
        (2, ResultClass.PERMANENT, "Not enough flash memory on the device"),
        (3, ResultClass.RETRY, "Out of memory during download"),
        (4, ResultClass.RETRY, "Connection lost during download"),
        (5, ResultClass.RETRY_ONCE, "Integrity check failed"),
        (6, ResultClass.PERMANENT, "Unsupported package type"),
        (7, ResultClass.RETRY_ONCE, "Invalid URI"),
        (8, ResultClass.RETRY, "Firmware update failed"),
        (9, ResultClass.OTHER_PROTOCOL, "Unsupported download protocol"),
        (10, ResultClass.RETRY, "Update cancelled"),
        (11, ResultClass.WAIT, "Update deferred"),
        (12, ResultClass.RETRY, "Update result 12"),
        (-1, ResultClass.RETRY, "Update result -1"),
        (2**40, ResultClass.RETRY, "Update result 1099511627776"),
    ],
)
def test_each_result(result: int, kind: ResultClass, reason: str) -> None:
    """Its class and its text, word for word."""
    assert meaning(result) == Meaning(kind=kind, reason=reason)


def test_a_cancel_that_was_ordered() -> None:
    """Result 10 is then what was wanted; others stay what they are."""
    assert meaning(10, cancel_ordered=True).kind is ResultClass.CANCELLED
    assert meaning(8, cancel_ordered=True) == meaning(8)


@pytest.mark.parametrize(
    ("kind", "earlier", "other_way", "final"),
    [
        (ResultClass.PERMANENT, 0, True, True), (ResultClass.SUCCESS, 0, True, True),
        (ResultClass.CANCELLED, 0, True, True), (ResultClass.RETRY, 9, False, False),
        (ResultClass.RETRY_ONCE, 0, False, False), (ResultClass.RETRY_ONCE, 1, False, True),
        (ResultClass.OTHER_PROTOCOL, 0, True, False), (ResultClass.OTHER_PROTOCOL, 0, False, True),
        (ResultClass.WAIT, 0, False, False), (ResultClass.NONE, 0, False, False),
    ],
)  # fmt: skip
def test_what_is_final(kind: ResultClass, earlier: int, other_way: bool, final: bool) -> None:
    """Permanent at once, after one more try, or when no other way is left."""
    assert is_final(kind, earlier=earlier, other_way=other_way) is final
