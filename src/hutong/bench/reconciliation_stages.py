"""The stages of `hutong bench recon`, each run in a process of its own so that its memory is its own."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import duckdb

from hutong import app, reconciliation, sandbox
from hutong.bench.installation import temporary_settings
from hutong.reconciliation import Layer, RunFolder, SideSource, generate

CHANNELS = ("wechat", "alipay")
"""Those whose bills are CSV, for which the limit is defined."""
_LAYERS = (Layer.PAYMENT_BILL, Layer.REFUND_BILL)
_REPETITIONS = 3
_CHUNK = 1 << 22
_COLUMNS = {"wechat": 27, "alipay": 25}
_FRAME = {"wechat": (1, "总交易单数"), "alipay": (5, "#---")}
"""Lines above the rows, and how the first line below them begins."""
PANDAS_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class StageJob:
    """What all stages share.

    Attributes:
        folder: Of this run alone; removed at its end.
        memory_mb: The bound that DuckDB is given.
    """

    folder: Path
    rows: int
    seed: int
    memory_mb: int
    key: generate.AnswerKey | None = None

    @property
    def accounts(self) -> Iterator[tuple[generate.AccountPlan, RunFolder, Path]]:
        """Yield each account with the folder of its day and its bill."""
        assert self.key is not None
        for plan in self.key.accounts:
            bill = next(self.key.folder / file.path for file in self.key.files if file.account == plan.account)
            yield plan, RunFolder(self.key.folder, plan.account, self.key.days[0]), bill


@dataclass(slots=True)
class Whole:
    """The times of the whole job, in seconds, and what it has found."""

    receive_s: float = 0.0
    read_s: float = 0.0
    run_s: float = 0.0
    found: int = 0
    planted: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the bills as delivered to their booking."""
        return self.receive_s + self.read_s + self.run_s


def make(job: StageJob) -> generate.AnswerKey:
    """Generate both sides for the accounts of the sandbox."""
    credentials = sandbox.accounts(job.folder / "sandbox", "http://127.0.0.1:9")
    numbers = {"wechat": str(credentials["wechat"]["mchid"]), "alipay": str(credentials["alipay"]["seller_id"])}
    day = datetime.now(UTC).date() - timedelta(days=3)
    options = generate.Options(days=1, channels=CHANNELS, numbers=numbers, first_day=day, memory_mb=1_024)
    return generate.generate(job.rows, job.seed, job.folder / "made", options)


def normalise(job: StageJob) -> float:
    """Read the bills as delivered into rows; return the seconds."""
    start = time.monotonic()
    for plan, folder, bill in job.accounts:
        layout = reconciliation.layouts.load(plan.layout)
        out = folder.rows(SideSource.BILL)
        reconciliation.layouts.normalise(
            layout, [bill], out, account=plan.number, day=folder.day, memory_mb=job.memory_mb
        )
    return time.monotonic() - start


def match(job: StageJob, engine: str) -> float:
    """Match the rows of both sides; return the seconds."""
    matcher = reconciliation.matching.engine(engine)
    start = time.monotonic()
    for plan, folder, _ in job.accounts:
        for layer in _LAYERS:
            ours = [folder.rows(SideSource.JOURNAL)]
            theirs = [folder.rows(SideSource.BILL)]
            out = job.folder / "matched" / plan.account / layer
            matcher.match(
                reconciliation.MatchJob(
                    reconciliation.LAYERS[layer], plan.window, folder.day, ours, theirs, out, job.memory_mb
                )
            )
    took = time.monotonic() - start
    shutil.rmtree(job.folder / "matched")
    return took


def limit(job: StageJob) -> tuple[float, float]:
    """Return the seconds of parsing the bills' decoded CSV, and of a hash join of the keys; the best of repetitions."""
    decoded = [(plan.channel, _decode(plan.channel, bill, job.folder)) for plan, _, bill in job.accounts]
    with duckdb.connect() as duck:
        duck.execute("SET threads = 2; SET enable_progress_bar = false")
        parse_s = _best(lambda: _parse(duck, decoded))
        ours = [str(folder.rows(SideSource.JOURNAL)) for _, folder, _ in job.accounts]
        theirs = [str(folder.rows(SideSource.BILL)) for _, folder, _ in job.accounts]
        duck.execute("CREATE TABLE ours AS SELECT key FROM read_parquet($files)", {"files": ours})
        duck.execute("CREATE TABLE theirs AS SELECT key FROM read_parquet($files)", {"files": theirs})
        join_s = _best(lambda: duck.execute("SELECT count(*) FROM ours JOIN theirs USING (key)").fetchall())
    for _, path in decoded:
        path.unlink()
    return parse_s, join_s


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPETITIONS):
        start = time.monotonic()
        work()
        times.append(time.monotonic() - start)
    return min(times)


def _parse(duck: duckdb.DuckDBPyConnection, decoded: Sequence[tuple[str, Path]]) -> None:
    """Parse every value of every row."""
    for channel, path in decoded:
        names = [f"c{number}" for number in range(_COLUMNS[channel])]
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
        counted = ", ".join(f"count({name})" for name in names)
        skip = _FRAME[channel][0]
        duck.execute(
            f"FROM read_csv('{path}', columns = {{{columns}}}, auto_detect = false, header = false, skip = {skip}, "
            f"delim = ',', quote = '', escape = '', new_line = '\\r\\n') SELECT {counted}"
        ).fetchall()


def _decode(channel: str, bill: Path, folder: Path) -> Path:
    """Write the CSV of a bill in UTF-8, without what stands below its rows."""
    path = folder / f"{channel}.csv"
    with path.open("wb") as out, _opened(channel, bill) as packed:
        while chunk := packed.read(_CHUNK):
            chunk += packed.readline()
            out.write(chunk if channel == "wechat" else chunk.decode("gbk").encode())
    with path.open("r+b") as file:
        file.seek(max(path.stat().st_size - 4_096, 0))
        start = file.tell()
        file.truncate(start + file.read().rindex(_FRAME[channel][1].encode()))
    return path


@contextmanager
def _opened(channel: str, bill: Path) -> Iterator[IO[bytes]]:
    if channel == "wechat":
        with gzip.open(bill) as file:
            yield file  # type: ignore[misc]
        return
    with (
        zipfile.ZipFile(bill) as archive,
        archive.open(max(archive.infolist(), key=lambda each: each.file_size)) as file,
    ):
        yield file


def merge_in_pandas(job: StageJob) -> float | None:
    """Return the seconds of pandas' merge of at most a million rows of each side; None if it is not installed."""
    if find_spec("pandas") is None:
        return None
    query = f"FROM read_parquet($files) SELECT key, settled, paid, ordered, fee, currency, state LIMIT {PANDAS_ROWS}"
    with duckdb.connect() as duck:
        sides = [
            duck.execute(query, {"files": [str(folder.rows(source)) for _, folder, _ in job.accounts]}).df()
            for source in (SideSource.JOURNAL, SideSource.BILL)
        ]
    start = time.monotonic()
    merged = sides[0].merge(sides[1], on="key", how="outer", suffixes=("", "_theirs"), indicator=True)
    merged[(merged["_merge"] != "both") | (merged["settled"] != merged["settled_theirs"])].shape[0]
    return time.monotonic() - start


def whole(job: StageJob) -> Whole:
    """Take the bills in, run the day and book it, on an installation of its own."""
    figures = Whole()
    with temporary_settings() as made:
        archive = job.folder / "archive"
        settings = made.model_copy(update={"recon_folder": archive, "recon_memory_mb": job.memory_mb})
        credentials = sandbox.accounts(job.folder / "sandbox", "http://127.0.0.1:9")
        accounts = {name: credentials[name] for name in CHANNELS}
        with app.using_database(settings) as url:
            app.migrate(settings, url)
            asyncio.run(app.prepare(settings, sandbox_accounts=accounts))
            asyncio.run(_whole(job, settings, figures))
    with duckdb.connect() as duck:
        query = "SELECT count(*) FROM read_parquet($key) WHERE at_first AND layer <> 'batch_bank'"
        ((figures.planted,),) = duck.execute(query, {"key": str(job.folder / "made" / "key.parquet")}).fetchall()
    return figures


async def _whole(job: StageJob, settings: app.Settings, figures: Whole) -> None:
    async with app.open_platform(settings) as platform:
        use = platform.reconciliation
        parties = {party.channel: party for party in await reconciliation.list_parties(use)}
        days: list[tuple[reconciliation.Counterparty, date]] = []
        start = time.monotonic()
        for plan, made, bill in job.accounts:
            party = parties[plan.channel]
            party = replace(party, layers=tuple(reconciliation.LAYERS[layer] for layer in _LAYERS))
            days.append((party, made.day))
            _give_rows(made, RunFolder(settings.recon_folder or job.folder, party.name, made.day))
            with reconciliation.files.staging(use) as staged:
                os.link(bill, staged / "bill")
                incoming = reconciliation.files.Incoming(
                    party, plan.layout, staged / "bill", bill.name, made.day, is_whole=True
                )
                await reconciliation.files.receive(use, incoming)
        received = time.monotonic()
        await reconciliation.files.read_received(use)
        read = time.monotonic()

        async def run(shared: reconciliation.Reconciliation, day: tuple[reconciliation.Counterparty, date]) -> int:
            return await _run(shared, *day, figures)

        figures.found = await use.for_each(days, run)
        figures.receive_s, figures.read_s, figures.run_s = received - start, read - received, time.monotonic() - read


async def _run(
    use: reconciliation.Reconciliation, party: reconciliation.Counterparty, day: date, figures: Whole
) -> int:
    """Run a day; return the number of differences."""
    outcomes = await reconciliation.runs.run_day(use, party, day)
    for outcome in outcomes:
        for name, count in (outcome.differences or {}).items():
            figures.counts[name] = figures.counts.get(name, 0) + count
    folder = RunFolder(use.config.folder, party.name, day)
    files = [str(folder.differences(layer)) for layer in _LAYERS]
    with duckdb.connect() as duck:
        ((count,),) = duck.execute("SELECT count(*) FROM read_parquet($files)", {"files": files}).fetchall()
    return int(count)


def _give_rows(made: RunFolder, folder: RunFolder) -> None:
    """Lay the generated rows of ours where a run finds them already written; of the other layers there are none."""
    folder.rows(SideSource.JOURNAL).parent.mkdir(parents=True)
    os.link(made.rows(SideSource.JOURNAL), folder.rows(SideSource.JOURNAL))
    with duckdb.connect() as duck:
        for source in (SideSource.ORDERS, SideSource.PAYMENTS):
            duck.execute(
                f"COPY (FROM read_parquet('{made.rows(SideSource.JOURNAL)}') LIMIT 0) "
                f"TO '{folder.rows(source)}' (FORMAT parquet)"
            )
