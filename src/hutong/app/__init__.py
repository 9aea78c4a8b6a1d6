"""The composition root: reads the configuration, wires the rest, runs the processes.

Promises: there is one way to put the platform together, `open_platform`, and one table of the repeated jobs, `JOBS`.
The web application is in `hutong.app.web`, which only the process that serves it loads.
"""

from hutong.app.heads import heads_file, read_heads
from hutong.app.instance import fetch, find_serving, machine_id, visit_file
from hutong.app.platform import (
    Platform,
    broker,
    existing_vault,
    follow_sandbox_clock,
    open_platform,
    open_vault,
    public_url,
    query_database_url,
    sandbox_clock_file,
    using_database,
    wire,
)
from hutong.app.processes import await_release, is_working, run, run_api, run_worker, stop_event
from hutong.app.setup import migrate, prepare, provide_logins
from hutong.app.supervisor import hold_sandbox, listen, prepare_in_process, run_serve
from hutong.app.worker import JOBS, Job, Worker
from hutong.config import Settings, environment, home_folder
from hutong.config import load as load_settings

__all__ = [
    "JOBS",
    "Job",
    "Platform",
    "Settings",
    "Worker",
    "await_release",
    "broker",
    "environment",
    "existing_vault",
    "fetch",
    "find_serving",
    "follow_sandbox_clock",
    "heads_file",
    "hold_sandbox",
    "home_folder",
    "is_working",
    "listen",
    "load_settings",
    "machine_id",
    "migrate",
    "open_platform",
    "open_vault",
    "prepare",
    "prepare_in_process",
    "provide_logins",
    "public_url",
    "query_database_url",
    "read_heads",
    "run",
    "run_api",
    "run_serve",
    "run_worker",
    "sandbox_clock_file",
    "stop_event",
    "using_database",
    "visit_file",
    "wire",
]
