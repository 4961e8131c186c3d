"""The tables of lwm2m 8, a test for each row and named after it; and that no reading is without a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.numbers import Code
from overair.protocols.lwm2m.firmware import (
    CHECK_S,
    NO_OBJECT,
    NO_RESULT,
    NOT_DOWNLOADED,
    NOT_EXECUTED,
    NOT_IDLE,
    RESTARTED,
    UNEXPECTED_VERSION,
    Delivered,
    Executed,
    Next,
    ResetMove,
    Step,
    apply_answered,
    cancelled,
    check,
    deliver,
    holds_ours,
    is_new_result,
    next_reset,
    prepare,
    push_refused,
)
from overair.protocols.lwm2m.objects import FirmwareReading
from overair.protocols.lwm2m.results import ResultClass

TARGET, BEFORE = "2.0", "1.0"


def _reading(state: int | None, result: int | None = 0) -> FirmwareReading:
    return FirmwareReading(state=state, result=result)


# PREPARE


def _prepare(
    state: int | None, result: int | None = 0, *, ours: bool = False, pull: bool = True
) -> Next:
    return prepare(_reading(state, result), version=BEFORE, target=TARGET, ours=ours, pull=pull)


def test_prepare_already_right() -> None:
    """The target version is there: a success without a download, whatever the machine is doing."""
    for reading in (None, _reading(3), _reading(0, 8)):
        found = prepare(reading, version=TARGET, target=TARGET, ours=False, pull=True)
        assert found.step is Step.SUCCEEDED


def test_prepare_no_object_5() -> None:
    """A device without the object cannot be updated, now or later."""
    found = prepare(None, version=BEFORE, target=TARGET, ours=False, pull=True)
    assert (found.step, found.kind, found.reason) == (
        Step.FAILED,
        ResultClass.PERMANENT,
        "No firmware update object",
    )


def test_prepare_state_or_result_not_known() -> None:
    """Both are needed before anything is sent."""
    assert _prepare(None).step is Step.READ
    assert _prepare(0, None).step is Step.READ


def test_prepare_state_0_any_result() -> None:
    """Idle: deliver; an old result is none of this attempt's."""
    for result in range(12):
        assert _prepare(0, result).step is Step.DELIVER


def test_prepare_state_1_result_0_ours() -> None:
    """It is downloading our image: adopt that."""
    assert _prepare(1, ours=True).step is Step.ADOPT


def test_prepare_state_1_result_0_not_ours_or_push() -> None:
    """Another's download, or a push that broke off: reset, for a second image would be refused."""
    assert _prepare(1).step is Step.RESET
    assert _prepare(1, ours=True, pull=False).step is Step.RESET
    assert _prepare(1, 4, ours=True).step is Step.RESET


def test_prepare_state_2_ours() -> None:
    """Our image is there: apply it."""
    for result in range(12):
        assert _prepare(2, result, ours=True).step is Step.APPLY


def test_prepare_state_2_not_ours() -> None:
    """Another image is there: reset."""
    for result in range(12):
        assert _prepare(2, result).step is Step.RESET


def test_prepare_state_3() -> None:
    """It is updating: wait as in CHECK."""
    for ours in (True, False):
        assert _prepare(3, ours=ours).step is Step.CHECK


def test_prepare_other_value() -> None:
    """It counts as idle, and is noted."""
    for state in (4, -1, 99):
        found = _prepare(state)
        assert found.step is Step.DELIVER
        assert str(state) in found.note


def test_whose_image_it_is() -> None:
    """Ours by the stored attempt, by the URI, or by name and version of the package."""
    reading = FirmwareReading(uri="coap://a/fw/x", package_name="pkg", package_version="2")
    assert holds_ours(reading, stored=True)
    assert holds_ours(reading, uri="coap://a/fw/x")
    assert holds_ours(reading, package=("pkg", "2"))
    assert not holds_ours(reading, uri="coap://a/fw/y", package=("pkg", "3"))
    assert not holds_ours(FirmwareReading())


# RESET


def test_reset_in_its_order() -> None:
    """An empty URI, the cancel if it is there, one zero byte; idle after any of them is enough."""
    tried: tuple[ResetMove, ...] = ()
    for _ in range(3):
        move = next_reset(tried, 2, has_cancel=True)
        assert isinstance(move, ResetMove)
        tried += (move,)
        assert next_reset(tried, 0, has_cancel=True) == Next(step=Step.DELIVER)
    assert tried == (ResetMove.EMPTY_URI, ResetMove.CANCEL, ResetMove.ZERO_BYTE)
    without = (ResetMove.EMPTY_URI,)
    assert next_reset(without, 1, has_cancel=False) is ResetMove.ZERO_BYTE


def test_reset_state_stays() -> None:
    """Three refusals, or a state that stays: retry."""
    found = next_reset(tuple(ResetMove), 2, has_cancel=True)
    assert isinstance(found, Next)
    assert (found.step, found.reason, found.kind) == (Step.FAILED, NOT_IDLE, ResultClass.RETRY)
    assert isinstance(next_reset(tuple(ResetMove), None, has_cancel=True), Next)


def test_reset_of_a_cancelled_attempt() -> None:
    """The cancel goes first, where there is one."""
    assert next_reset((), 1, has_cancel=True, cancel_first=True) is ResetMove.CANCEL
    assert next_reset((), 1, has_cancel=False, cancel_first=True) is ResetMove.EMPTY_URI


def test_cancel_by_state() -> None:
    """States 0 to 2 are reset; an update that runs completes."""
    assert [cancelled(state) for state in (0, 1, 2, 3, None)] == [
        Step.RESET, Step.RESET, Step.RESET, Step.WAIT, Step.RESET,
    ]  # fmt: skip


# DELIVER


def _delivered(
    *, remembered: int = 0, changed: bool = False, cleared: bool = False, for_s: float | None = 1
) -> Delivered:
    return Delivered(
        remembered=remembered,
        state_changed=changed,
        result_cleared=cleared,
        accepted_for_s=for_s,
        patience_s=1000,
    )


def test_deliver_state_2() -> None:
    """The package is there, however it came to be, and whatever the result says."""
    for result in range(12):
        assert deliver(_reading(2, result), _delivered()).step is Step.APPLY


def test_deliver_result_other_than_0() -> None:
    """It says why, with the state never having left 0 too."""
    for state in (0, 1):
        found = deliver(_reading(state, 5), _delivered())
        assert (found.step, found.result, found.kind) == (Step.FAILED, 5, ResultClass.RETRY_ONCE)
        assert found.reason == "Integrity check failed"


def test_deliver_without_a_state_of_1() -> None:
    """Some never enter it, some never leave it: only time ends the wait."""
    for state in (0, 1, 3, 7):
        assert deliver(_reading(state), _delivered()).step is Step.WAIT
        late = deliver(_reading(state), _delivered(for_s=1000))
        assert (late.step, late.reason) == (Step.FAILED, NOT_DOWNLOADED)
    assert deliver(_reading(1), _delivered(for_s=None)).step is Step.WAIT
    assert deliver(_reading(None), _delivered()).step is Step.READ


def test_deliver_the_remembered_result() -> None:
    """The same result is new if the state changed, if 0 was seen, or after two minutes."""
    old = _delivered(remembered=8)
    assert deliver(_reading(0, 8), old).step is Step.WAIT
    assert deliver(_reading(0, 4), old).step is Step.FAILED
    for new in (
        _delivered(remembered=8, changed=True),
        _delivered(remembered=8, cleared=True),
        _delivered(remembered=8, for_s=120),
    ):
        assert deliver(_reading(0, 8), new).step is Step.FAILED
    assert not is_new_result(8, _delivered(remembered=8, for_s=None))
    assert not is_new_result(0, _delivered(remembered=8, changed=True))


def test_deliver_a_success_of_something_else() -> None:
    """Result 1 before anything was executed says nothing of this attempt."""
    assert deliver(_reading(0, 1), _delivered(changed=True)).step is Step.WAIT


def test_deliver_after_a_refused_push() -> None:
    """No block of any size is for good; anything else is looked at."""
    found = push_refused(Code.REQUEST_ENTITY_TOO_LARGE)
    assert (found.step, found.kind) == (Step.FAILED, ResultClass.PERMANENT)
    for code in (Code.BAD_REQUEST, Code.METHOD_NOT_ALLOWED, Code.INTERNAL_SERVER_ERROR):
        assert push_refused(code).step is Step.READ


# APPLY


def test_apply_2_04_or_no_answer() -> None:
    """Told or perhaps told: wait for the result."""
    assert apply_answered(Code.CHANGED, None, executed=1).step is Step.CHECK
    assert apply_answered(None, None, executed=1).step is Step.CHECK


@pytest.mark.parametrize("code", [Code.METHOD_NOT_ALLOWED, Code.BAD_REQUEST])
def test_apply_4_05_or_4_00(code: Code) -> None:
    """Read again; with state 2 still there once more, then retry."""
    assert apply_answered(code, None, executed=1).step is Step.READ
    assert apply_answered(code, 2, executed=1).step is Step.EXECUTE
    found = apply_answered(code, 2, executed=2)
    assert (found.step, found.reason, found.kind) == (
        Step.FAILED, NOT_EXECUTED, ResultClass.RETRY,
    )  # fmt: skip
    assert apply_answered(code, 3, executed=1).step is Step.CHECK


# CHECK


def _check(
    state: int | None,
    result: int | None,
    version: str | None = BEFORE,
    *,
    registered: bool = False,
    executed: int = 1,
    elapsed_s: float = 0,
    remembered: int = 0,
    changed: bool = False,
    require_version: bool = False,
) -> Next:
    facts = Executed(
        target=TARGET,
        registered=registered,
        executed=executed,
        elapsed_s=elapsed_s,
        remembered=remembered,
        changed=changed,
        require_version=require_version,
    )
    return check(_reading(state, result), version, facts)


def test_check_new_register_then_state_0_and_result_1() -> None:
    """Success."""
    found = _check(0, 1, TARGET, registered=True)
    assert (found.step, found.result, found.note) == (Step.SUCCEEDED, 1, "")


def test_check_same_registration_state_0_result_1() -> None:
    """Success, without a reboot; without a version too, if that is all there is."""
    assert _check(0, 1, TARGET).step is Step.SUCCEEDED
    assert _check(0, 1, None).step is Step.SUCCEEDED


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("state", [0, 2])
@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (8, ResultClass.RETRY), (5, ResultClass.RETRY_ONCE), (6, ResultClass.PERMANENT),
        (2, ResultClass.PERMANENT), (3, ResultClass.RETRY), (42, ResultClass.RETRY),
    ],
)  # fmt: skip
def test_check_state_0_or_2_with_a_failure(
    state: int, result: int, kind: ResultClass, registered: bool
) -> None:
    """Failed by class; both states occur."""
    found = _check(state, result, registered=registered)
    assert (found.step, found.kind, found.result) == (Step.FAILED, kind, result)


def test_check_state_2_result_11() -> None:
    """Deferred."""
    found = _check(2, 11)
    assert (found.step, found.reason) == (Step.DEFERRED, "Update deferred")


def test_check_new_register_state_0_result_0_target() -> None:
    """Success: the client lost the result, the version tells."""
    found = _check(0, 0, TARGET, registered=True)
    assert found.step is Step.SUCCEEDED
    assert found.note


def test_check_new_register_state_0_result_0_unchanged() -> None:
    """Failed: it restarted without updating. Without a version, read that first."""
    found = _check(0, 0, BEFORE, registered=True)
    assert (found.step, found.reason, found.kind) == (Step.FAILED, RESTARTED, ResultClass.RETRY)
    assert RESTARTED == "Device restarted without updating"
    assert _check(0, 0, None, registered=True).step is Step.READ


def test_check_new_register_state_2() -> None:
    """It restarted before applying: execute once more, then failed."""
    assert _check(2, 0, registered=True).step is Step.EXECUTE
    found = _check(2, 0, registered=True, executed=2)
    assert (found.step, found.reason) == (Step.FAILED, RESTARTED)


def test_check_new_register_state_3() -> None:
    """Still applying: wait."""
    assert _check(3, 0, registered=True).step is Step.WAIT


def test_check_result_1_but_another_version() -> None:
    """Success with a note, or a failure where the setting wants the version to be right."""
    found = _check(0, 1, "1.9")
    assert found.step is Step.SUCCEEDED
    assert "1.9" in found.note
    strict = _check(0, 1, "1.9", require_version=True)
    assert (strict.step, strict.reason) == (Step.FAILED, UNEXPECTED_VERSION)
    assert _check(0, 1, None, require_version=True).step is Step.READ
    assert _check(0, 1, TARGET, require_version=True).step is Step.SUCCEEDED


def test_check_nothing_yet() -> None:
    """The same registration with nothing new: it has not begun, or is at it."""
    for state, result in ((0, 0), (2, 0), (2, 1), (3, 0), (1, 0)):
        assert _check(state, result).step is Step.WAIT
    assert _check(None, 0).step is Step.READ


def test_check_an_old_failure() -> None:
    """What the result was before the execute, is it still until the device begins; for two minutes."""
    assert _check(2, 8, remembered=8).step is Step.WAIT
    assert _check(2, 8, remembered=8, changed=True).step is Step.FAILED
    assert _check(2, 8, remembered=8, elapsed_s=120).step is Step.FAILED
    assert _check(2, 8, remembered=8, registered=True).step is Step.FAILED
    assert _check(0, 8, remembered=8).step is Step.FAILED


def test_check_four_hours() -> None:
    """Whatever is waited for: failed then. What is known counts, however late."""
    for state, result in ((3, 0), (2, 0), (0, 0), (None, None)):
        found = _check(state, result, elapsed_s=CHECK_S)
        assert (found.step, found.reason) == (Step.FAILED, NO_RESULT)
    assert _check(0, 1, TARGET, elapsed_s=CHECK_S).step is Step.SUCCEEDED


def test_check_object_5_is_gone() -> None:
    """A factory reset, or a new list of objects without it."""
    found = check(None, BEFORE, Executed(target=TARGET, registered=True))
    assert (found.step, found.reason, found.kind) == (
        Step.FAILED, NO_OBJECT, ResultClass.PERMANENT,
    )  # fmt: skip


STATES = st.none() | st.integers(-2, 6)
RESULTS = st.none() | st.integers(-2, 14)
VERSIONS = st.sampled_from([None, BEFORE, TARGET])


@given(
    STATES, RESULTS, VERSIONS, st.booleans(), st.booleans(), st.integers(0, 2), st.floats(0, 20_000)
)
def test_every_reading_has_a_row(
    state: int | None,
    result: int | None,
    version: str | None,
    flag: bool,
    other: bool,
    count: int,
    seconds: float,
) -> None:
    """Whatever is read there is something to do, and a failure says why and of which class."""
    reading = _reading(state, result)
    answers = [
        prepare(reading, version=version, target=TARGET, ours=flag, pull=other),
        deliver(reading, _delivered(changed=flag, cleared=other, for_s=seconds)),
        check(
            reading,
            version,
            Executed(
                target=TARGET, registered=flag, executed=count, elapsed_s=seconds, changed=other
            ),
        ),
        apply_answered(Code.BAD_REQUEST, state, executed=count),
    ]
    for answer in answers:
        if answer.step in {Step.FAILED, Step.DEFERRED}:
            assert answer.reason
            assert answer.kind is not ResultClass.NONE
