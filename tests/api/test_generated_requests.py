"""Requests made from the OpenAPI document, by someone else's generator.

Schemathesis sends what the document allows, and what it does not. No answer may be a 5xx, have a
status or a shape that the document lacks, or leave out a 405. That a request of the right shape can
still be refused, because it names nothing that is there, is the contract's way: 400 for every error
of the caller's (API 10.1).
"""

import asyncio
import sys
from pathlib import Path

import pytest

from overair.clock import ManualClock
from overair.config import Limits
from tests.api.v1_world import v1_world
from tests.serving import serving

LIMIT_S = 180


@pytest.mark.slow
async def test_generated_requests(tmp_path: Path, clock: ManualClock) -> None:
    """Whatever the generator makes of the document, the answer is one that the document has."""
    async with (
        v1_world("", tmp_path / "data", clock, Limits()) as v1,
        serving(v1.v2.server) as base,
    ):
        command = Path(sys.executable).with_name("schemathesis")
        arguments = ["run", f"{base}/openapi.json", "--include-path-regex", "fota/v[12]"]
        arguments += ["--phases", "coverage,fuzzing", "--max-examples", "20"]
        arguments += ["--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]
        arguments += ["--generation-database", "none", "--no-color"]
        for name, value in v1.ada.headers.items():
            arguments += ["--header", f"{name}: {value}"]
        process = await asyncio.create_subprocess_exec(
            command,
            *arguments,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode == 0, said.decode()[-8000:]
