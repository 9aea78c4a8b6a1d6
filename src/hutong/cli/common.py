"""The shell that commands share: options, settings, the database for one piece of work, an operator's key.

Imports that cost start-up time stand in the functions: `hutong --help` loads this module with every group of commands.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from hutong.cli.help_form import make_uniform
from hutong.cli.output import print_problem
from hutong.clock import SystemClock
from hutong.errors import HutongError, InvalidParameter, Unavailable

if TYPE_CHECKING:
    from hutong import app, db
    from hutong.config import Settings
    from hutong.ids import Ids

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept permanently.")]
KeyFile = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Your operator key, in a file that only you may read (chmod 600).")
]
AMOUNT_MINOR_MAX = 999_999_999_999_999
"""The largest amount that commands take, as the API does."""
INTEGER_MAX = 2**63 - 1
"""The largest integer of the database."""
CODE_MAX = 65_535
"""The largest code of a subject or an accounting event."""
INSTANTS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]
"""How an instant may be written; without a zone it is in UTC."""

_OUR_FAULT = 500
_FILE_BYTES_MAX = 1 << 20


class HutongGroup(TyperGroup):
    """The group of all commands. An error meant for people ends a command with one line and the status of its class."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        make_uniform(self)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. One that is not text in UTF-8 is refused: no command could store or compare it."""
        for number, argument in enumerate(args, 1):
            if not _is_text(argument):
                name, is_option, _ = argument.partition("=")
                place = name if is_option and _is_text(name) else f"argument {number}"
                print_error(InvalidParameter(f"`{place}` is not text in UTF-8", param=place))
                sys.exit(2)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HutongError as error:
            print_error(error)
            sys.exit(exit_status(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe has read enough
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                print_error(Unavailable(f"there is no room to write: {error}"))
            else:
                print_problem(f"hutong: system_error: {error}")
            sys.exit(1)
        except Exception as error:
            if (reason := _reason_of_database(error)) is None:
                raise
            print_problem(f"hutong: database_error: {reason}")
            sys.exit(1)


def _reason_of_database(error: Exception) -> str | None:
    """Return the reason that the database, or a client of it, gives in an error; None if the error is another one.

    Addresses stay out: a client repeats one that it cannot read, and the password in it.
    """
    if type(error).__module__.partition(".")[0] not in ("asyncpg", "psycopg"):
        return None
    state = getattr(error, "sqlstate", None)
    lines = str(error).splitlines()
    if state is None and "://" in str(error):
        return f"the address of the database cannot be used ({type(error).__name__})"
    return f"{lines[0] if lines else 'no reason'} ({type(error).__name__}{f', {state}' if state else ''})"


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def exit_status(error: HutongError) -> int:
    """Return 2 for a request that was wrong or refused with nothing done, as for a wrong option; 1 for a failure.

    A wrong setting and a service that does not answer are failures: the same command succeeds once they are mended.
    """
    return 1 if error.http_status >= _OUR_FAULT else 2


def print_error(error: HutongError) -> None:
    """Print an error as one line on standard error."""
    where = f" ({error.param})" if error.param else ""
    print_problem(f"hutong: {error.code}: {error.detail}{where}")


def load_settings() -> Settings:
    """Read the settings from the environment, without loading the platform: some commands need only an address.

    Errors:
        ConfigurationError.
    """
    from hutong import config

    return config.load()


def in_transaction(work: Callable[[db.Tx], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run `work` in one transaction. The database and the settings are those of `with_database`."""
    return with_database(lambda database: database.run(work), settings)


async def trace_export(tx: db.Tx, kind: str, about: str, conditions: Mapping[str, object]) -> None:
    """Leave a trace of an export in the audit journal, in the transaction that reads what is exported.

    Args:
        kind, about: What is exported, such as "payment_records" of a merchant.
        conditions: By name, those that are not None narrow it down.
    """
    from hutong import operators

    after = {name: str(value) for name, value in conditions.items() if value is not None}
    entry = operators.AuditEntry(None, "read.export", kind, about, "from the command line", after=after)
    await operators.audit(tx, [entry], now=SystemClock().now())


def on_platform(work: Callable[[app.Platform], Awaitable[T]]) -> T:
    """Do one piece of work on a platform that is opened for it."""
    from hutong import app

    async def run() -> T:
        async with app.open_platform(load_settings()) as platform:
            return await work(platform)

    return asyncio.run(run())


def with_database(work: Callable[[db.Database], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run `work` on the database, migrated to this version; an embedded server that this call starts ends with it.

    A login for commands alone cannot migrate: then the schema must be that of this version.

    Args:
        settings: Those of the environment by default.
    """

    from hutong import app, db

    async def run(url: str) -> T:
        async with db.Database.open(url, size=2) as database:
            return await work(database)

    settings = settings or load_settings()
    app.follow_sandbox_clock(settings)
    with app.using_database(settings, db.CONSOLE_ROLE) as url:
        if settings.console_database_url is None:
            db.migrate(url)
        return asyncio.run(run(url))


def make_ids(settings: Settings | None = None) -> Ids:
    """Return the source of new identifiers, which carry the zone of this installation."""
    from hutong.clock import SystemClock
    from hutong.ids import Ids

    return Ids(SystemClock(), zone=(settings or load_settings()).zone)


def as_utc(instant: datetime | None, option: str) -> datetime | None:
    """Return the instant in UTC; one without a zone is in it.

    Errors:
        InvalidParameter: it is not between 1970 and 9998, as at the API.
    """
    if instant is None:
        return None
    if not 1970 <= instant.year <= 9998:
        raise InvalidParameter(f"{option} must be between 1970 and 9998", param=option)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def read_private_file(path: Path, option: str) -> bytes:
    """Read a secret from a file that only its owner may read.

    Errors:
        InvalidParameter: the file does not exist or is not private. Its content is never repeated.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidParameter(f"others may read {path}; run: chmod 600 {path}", param=option)
            return file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}", param=option) from error


def read_key(path: Path) -> str:
    """Read an operator's key. Errors as `read_private_file`."""
    return read_private_file(path, "--key").decode("ascii", "replace").strip()


def check_target(path: Path | None, option: str) -> None:
    """Refuse a file that cannot be written, before the work for it begins.

    Errors:
        InvalidParameter: its folder does not exist, it is a folder itself, or the system does not allow it.
    """
    if path is None:
        return
    try:
        if not path.parent.is_dir():
            raise InvalidParameter(f"there is no folder {path.parent}", param=option)
        if path.is_dir():
            raise InvalidParameter(f"{path} is a folder", param=option)
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be written: {error.strerror}", param=option) from error


def check_folder(path: Path, option: str) -> None:
    """Refuse a folder into which nothing can be written, before the work for it begins. One may be absent.

    Errors:
        InvalidParameter.
    """
    place = path.absolute()
    try:
        while not place.exists():
            place = place.parent
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be written: {error.strerror}", param=option) from error
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise InvalidParameter(f"{place} is not a folder that can be written", param=option)
