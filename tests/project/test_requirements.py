"""Pinned requirements are complete and agree with each other and with the package."""

import re
import tomllib
from functools import cache

import pytest

from tests.project.source import ROOT

REQUIREMENTS = ROOT / "requirements"
ONE_ENVIRONMENT = ["runtime", "test", "dev", "bench", "mutation", "setup"]


def _names(text: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {line for line in lines if line and not line.startswith("-")}


def _plain(requirement: str) -> str:
    name, extras = re.fullmatch(r"([\w.-]+)(\[[\w,]+\])?.*", requirement).groups()  # type: ignore[union-attr]  # a requirement that does not match fails the test just as well
    return name.lower() + ",".join(sorted((extras or "").strip("[]").split(",")))


@cache
def _pins(name: str) -> dict[tuple[str, str], str]:
    """(package, marker) → version."""
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    found = re.findall(r"^([\w.-]+)==(\S+?)(?: ; (.*?))? \\$", text, re.MULTILINE)
    return {(package, marker): version for package, version, marker in found}


def test_the_package_asks_for_what_is_pinned() -> None:
    """pyproject.toml and requirements/runtime.in name the same libraries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = _names((REQUIREMENTS / "runtime.in").read_text("utf-8"))
    assert {_plain(name) for name in project["dependencies"]} == {_plain(name) for name in pinned}


@pytest.mark.parametrize("name", [*ONE_ENVIRONMENT, "goosebit"])
def test_every_pin_has_its_hash(name: str) -> None:
    """Each package is pinned exactly, with hashes, and what was asked for is among them."""
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    starts = re.findall(r"^[\w.-]+.*$", text, re.MULTILINE)
    assert starts
    for line in starts:
        assert re.match(r"[\w.-]+==\S+( ; .*)? \\$", line), line
    assert text.count("--hash=sha256:") >= len(starts)
    wanted = _names((REQUIREMENTS / f"{name}.in").read_text("utf-8"))
    pinned = {package.lower() for package, _ in _pins(name)}
    assert {re.split(r"[\[=]", each.lower())[0] for each in wanted} <= pinned


def test_what_shares_an_environment_agrees() -> None:
    """No package has two versions in the files that are installed into one environment."""
    whole = _pins("dev")
    for name in ONE_ENVIRONMENT:
        for package, version in _pins(name).items():
            assert whole.get(package, version) == version, f"{name}.txt: {package}"
