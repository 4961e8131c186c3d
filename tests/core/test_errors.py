"""The error catalogue: complete rows, each once."""

from overair.core.errors import Refusal, RequestError


def test_catalogue() -> None:
    """Every refusal has a code and a text, and no two are the same."""
    assert len({refusal.value for refusal in Refusal}) == len(list(Refusal))
    for refusal in Refusal:
        error = RequestError(refusal, limit=1, member="m", part="p")
        assert error.code
        assert error.message
        assert "{" not in error.message
