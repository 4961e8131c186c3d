"""A second server on one SQLite database: refused, until the first has ended in whatever way."""

from pathlib import Path

from overair.sim.http.roster import generate_roster
from tests.installation import installation


def test_a_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    """It says who is there and ends with status 3; after a kill of the first nothing is in the way."""
    with installation(tmp_path) as place:
        place.prepare(generate_roster(2, seed=1))
        first = place.serve()
        first.wait_ready()
        elsewhere = tmp_path / "another-name"
        elsewhere.symlink_to(place.data, target_is_directory=True)
        for data in (place.data, elsewhere):
            second = place.spawn(
                "serve", "--http", "127.0.0.1:0", "--data", str(data), own_flags=False
            )
            _, told = second.communicate(timeout=30)
            assert second.returncode == 3, told
            assert f"process {first.popen.pid}" in told
            assert "Traceback" not in told
        assert place.command("verify")["findings"] == []  # commands are not servers
        first.kill()
        third = place.serve()
        third.wait_ready()
        assert third.stop() == 0


def test_a_server_takes_the_descriptors_it_may_have(tmp_path: Path) -> None:
    """The soft limit on open files is raised to the hard one: each connection needs one."""
    with installation(tmp_path) as place:
        place.prepare(generate_roster(1, seed=1))
        server = place.serve()
        server.wait_ready()
        limits = Path(f"/proc/{server.popen.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
        assert line.split()[3] == line.split()[4]
        assert server.stop() == 0
