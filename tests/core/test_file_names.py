"""Names of uploaded files, at their bounds."""

import pytest

from overair.core.file_names import FileNameError, clean_text, config_file_name, stored_name


def test_a_name_of_a_hundred_characters_is_kept() -> None:
    """A name has at most 100 characters, and only a longer one is cut."""
    name = "x" * 96 + ".swu"
    assert stored_name(name) == name
    assert stored_name("x" + name) == name
    blank = "x" * 95 + " .swu"
    assert stored_name(blank) == blank


def test_an_ending_is_short() -> None:
    """Twenty characters behind the last dot are an ending, which is kept; more are part of the name."""
    assert stored_name("x" * 200 + "." + "e" * 20) == "x" * 79 + "." + "e" * 20
    assert stored_name("x" * 90 + "." + "e" * 21) == "x" * 90 + "." + "e" * 9


def test_a_cut_name_has_no_blank_before_its_ending() -> None:
    """Where the cut falls behind a blank, the blank goes too; those elsewhere stay."""
    assert stored_name("a b" + "x" * 92 + "  " + "y" * 50 + ".swu") == "a b" + "x" * 92 + ".swu"


def test_dots_alone_are_no_name() -> None:
    """Dots among other characters are."""
    assert stored_name("X.X") == "X.X"
    assert stored_name(".X") == ".X"
    with pytest.raises(FileNameError):
        stored_name("...")


def test_a_version_has_at_most_255_characters() -> None:
    """So has a path on the device."""
    assert clean_text("fileVersion", "x" * 255) == "x" * 255


@pytest.mark.parametrize(
    ("make", "model", "uploaded", "part"),
    [
        ("", "M1", "f.txt", "make"),
        ("a/b", "M1", "f.txt", "make"),
        ("Acme", " ", "f.txt", "model"),
        ("Acme", "M\\1", "f.txt", "model"),
        ("Acme", "M1", "..", "fileupload"),
        ("m" * 60, "n" * 40, "f.txt", "fileupload"),
    ],
)
def test_the_part_that_will_not_do_is_named(
    make: str, model: str, uploaded: str, part: str
) -> None:
    """Whoever uploads is told which part of the upload cannot be used, by its published name."""
    with pytest.raises(FileNameError) as error:
        config_file_name(make, model, uploaded)
    assert error.value.part == part
    assert str(error.value) == f"{part} is missing or malformed"
