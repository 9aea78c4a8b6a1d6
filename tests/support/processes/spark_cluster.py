"""A Spark cluster on this machine: a standalone master and its workers, as the package from PyPI brings them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class SparkCluster:
    """A master and its workers on the loopback address, on free ports, in a folder of their own.

    Attributes:
        master: Its address, as in "spark://127.0.0.1:41234".
    """

    def __init__(self, folder: Path, *, workers: int = 2, start_s: float = 240) -> None:
        self.master = ""
        self._folder = folder
        self._workers = workers
        self._until = time.monotonic() + start_s
        self._started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def __enter__(self) -> Self:
        try:
            self._start("master", "Master", "--port", "0")
            self.master = self._wait_for(r"Starting Spark master at (spark://\S+)", 0)
            for number in range(1, self._workers + 1):
                work = self._folder / f"worker-{number}"
                self._start(work.name, "Worker", "--cores", "1", "--memory", "1g", "--work-dir", str(work), self.master)
            for number in range(1, self._workers + 1):
                self._wait_for(r"Successfully registered with master (\S+)", number)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, name: str, role: str, *options: str) -> None:
        import pyspark

        home = Path(pyspark.__file__).parent
        log = self._folder / f"{name}.log"
        command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{role.lower()}.{role}"]
        settings = {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self._folder),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false -Dspark.master.ui.decommission.allow.mode=DENY",
            "SPARK_WORKER_OPTS": "-Dspark.shuffle.service.enabled=false",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--webui-port", "0", *options],
                cwd=self._folder, env=os.environ | settings, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._started.append((process, log))

    def _wait_for(self, pattern: str, place: int) -> str:
        process, log = self._started[place]
        while not (found := re.search(pattern, log.read_text())):
            if process.poll() is not None or time.monotonic() > self._until:
                raise AssertionError(f"{log.name}: no {pattern!r} in\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        return found[1]

    def _stop(self) -> None:
        """End the workers, which end their executors, and then the master."""
        for process, _ in reversed(self._started):
            process.terminate()
        for process, _ in reversed(self._started):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
