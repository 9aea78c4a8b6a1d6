"""The operating system's RabbitMQ, started temporarily with its own folder, node name and ports, on loopback alone."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hutong.demo import free_port

_BIN = Path("/usr/lib/rabbitmq/bin")
_START_LIMIT_S = 120.0


class RabbitMQ:
    """A broker that can be stopped, killed, and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._distribution, self._epmd = free_port(), free_port(), free_port()
        self._name = f"hutong{secrets.token_hex(4)}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            for place in (folder, *folder.parents):  # the broker runs as a user of its own
                if place.stat().st_uid == 0 and place.stat().st_mode & 0o777 == 0o700:
                    place.chmod(0o711)
            shutil.chown(folder, "rabbitmq", "rabbitmq")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\nlog.console.level = error\n"
            "disk_free_limit.absolute = 50MB\ncluster_name = hutong-test\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")

    @staticmethod
    def available() -> bool:
        """Check that RabbitMQ is installed on this machine."""
        return (_BIN / "rabbitmq-server").exists()

    @property
    def url(self) -> str:
        """The address of the broker."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The id of its process, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it accepts connections."""
        self._process = subprocess.Popen(
            [str(_BIN / "rabbitmq-server")],
            env=self._environment(),
            cwd=self.folder,
            stdout=(self.folder / "out").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._identity(),
        )
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as wire:
                    wire.settimeout(5)
                    wire.sendall(b"AMQP\x00\x00\x09\x01")
                    if wire.recv(1):
                        return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "out").read_text()[-4000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the broker, as a power failure would, except that the system still writes its buffers."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Stop the broker in order."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return
        self._process = None

    def close(self) -> None:
        """Kill the broker and its port mapper."""
        if self._process is not None:
            self.kill()
        for _ in range(30):  # it stays while it believes that a node is alive
            done = subprocess.run(
                ["epmd", "-port", str(self._epmd), "-kill"], check=False, capture_output=True, text=True
            )
            if "not allowed" not in done.stdout + done.stderr:
                return
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    @staticmethod
    def _identity() -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        user = pwd.getpwnam("rabbitmq")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
