"""The house keeps its own rules: faces, the place of SQL, lengths."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.sources import nodes, tree

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = {folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()}
SQL = re.compile(r"\b(SELECT .* FROM|INSERT INTO|UPDATE \w+(\.\w+)? SET|DELETE FROM|CREATE TABLE)\b", re.IGNORECASE)
SQL_OUTSIDE = {"db/embedded.py", "db/migrations.py", "db/pool.py"}  # the server itself, before there is a schema


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def reads_files_alone(path: Path) -> bool:
    """Return whether a module's statements are for DuckDB over files of rows: it has no way to the database."""
    imported = {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in nodes(path)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    to_files = any(each.startswith(("duckdb", "hutong.reconciliation.duck")) for each in imported)
    to_database = any(each.startswith(("hutong.db", "asyncpg", "psycopg")) for each in imported)
    return to_files and not to_database


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_under_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_stay_under_70_lines(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 70, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_clients_of_other_servers_are_made_in_one_place(path: Path) -> None:
    """That of `outgoing.py`, which bounds what is answered. Only measurements and demonstrations call themselves."""
    if name(path) == "outgoing.py" or path.relative_to(SOURCE).parts[0] in ("bench", "demo"):
        return
    for node in nodes(path):
        if isinstance(node, ast.Call):
            assert not ast.unparse(node.func).endswith("ClientSession"), f"line {node.lineno}"


PRINTING = re.compile(r"print|(typer|click)\.(echo|secho)|(sys\.)?stdout\.(write|writelines)|csv\.writer")


@pytest.mark.parametrize("path", sorted((SOURCE / "cli").rglob("*.py")), ids=name)
def test_commands_print_in_one_way(path: Path) -> None:
    """That of `cli/output.py`, which shows as escapes what others have written to move a terminal."""
    if path.name == "output.py":
        return
    for node in nodes(path):
        if isinstance(node, ast.Call):
            assert not PRINTING.fullmatch(ast.unparse(node.func)), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sql_lives_in_sql_files(path: Path) -> None:
    if name(path) in SQL_OUTSIDE or reads_files_alone(path):
        return
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not SQL.search(node.value), f"line {node.lineno} holds SQL"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_others_are_imported_by_their_face(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0]
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hutong."):
            parts = node.module.split(".")
            reaches_inside = len(parts) > 2 and parts[1] in PACKAGES and parts[1] != own
            assert not reaches_inside, f"line {node.lineno}: {node.module}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("sql/*.sql")), ids=name)
def test_sql_files_name_columns_and_say_why(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"SELECT\s+\*", text, re.IGNORECASE)
    for part in text.split("-- name: ")[1:]:
        heading, _, body = part.partition("\n")
        assert body.lstrip().startswith("--"), f"{heading} does not say why"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_statements_used_exist_and_statements_kept_are_used(package: str) -> None:
    folder = SOURCE / package
    kept = {
        found for file in folder.glob("sql/*.sql") for found in re.findall(r"^-- name: (\w+)", file.read_text(), re.M)
    }
    if not kept:
        return
    code = "\n".join(file.read_text() for file in folder.rglob("*.py"))
    used = set(re.findall(r"(?<!\.)\b_?sql\.(\w+)", code, re.IGNORECASE))
    assert used == kept


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_only_what_stops_the_embedded_server_starts_it() -> None:
    """Others use `app.using_database`; the platform's supervisor, and the command whose address outlives it, do not."""
    started = [
        f"{name(path)}: {ast.unparse(node.func.value)}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] != "db"
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "start"
        if re.search("server|embedded", ast.unparse(node.func.value), re.IGNORECASE)
    ]
    assert sorted(set(started) - {"bench/events_webhooks.py: server"}) == [
        "app/platform.py: server",
        "app/supervisor.py: embedded",
        "cli/database.py: db.EmbeddedServer(settings.home, archive=settings.backup_folder)",
    ]


MIGRATIONS = sorted(path.stem for path in SOURCE.rglob("migrations/*.sql"))


@pytest.mark.parametrize("folder", sorted(SOURCE.rglob("migrations")), ids=name)
def test_migrations_of_a_package_are_numbered_from_1_without_holes(folder: Path) -> None:
    numbers = []
    for path in sorted(folder.glob("*.sql")):
        found = re.fullmatch(r"(\w+)-(\d{4})\.(\w+)", path.stem)
        assert found is not None, f"{path.name} is not named <package>-0001.what.sql"
        assert found[1] == folder.parent.name
        numbers.append(int(found[2]))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("migrations/*.sql")), ids=name)
def test_migrations_depend_on_others_that_are_there(path: Path) -> None:
    """And on the one before in the same package, so that they run in the order of their numbers."""
    first = path.read_text().split("\n", 1)[0]
    needed = first.removeprefix("-- depends: ").split() if first.startswith("-- depends: ") else []
    assert path.stem == "db-0001.role" or needed
    assert set(needed) <= set(MIGRATIONS)
    package, number = path.stem.split(".")[0].rsplit("-", 1)
    if int(number) > 1:
        assert f"{package}-{int(number) - 1:04}" in {one.split(".")[0] for one in needed}


def test_renamed_migrations_lead_to_those_that_are_there() -> None:
    module = tree(SOURCE / "db" / "migrations.py")
    (found,) = [
        node.value for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RENAMED"
    ]
    renamed: dict[str, str] = ast.literal_eval(found)
    assert renamed.keys().isdisjoint(MIGRATIONS)
    assert set(renamed.values()) <= {*MIGRATIONS, *renamed}
    for old, new in renamed.items():
        assert new != old


def test_no_file_has_the_marks_of_a_merge() -> None:
    root = SOURCE.parents[1]
    texts = [path for folder in ("src", "tests", "docs", "examples") for path in (root / folder).rglob("*.*")]
    marked = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    suffixes = {".py", ".sql", ".md", ".toml", ".csv", ".html", ".js", ".css"}
    found = [
        path for path in [*texts, *root.glob("*.*")] if path.suffix in suffixes and marked.search(path.read_text())
    ]
    assert [str(path.relative_to(root)) for path in found if "_build" not in path.parts] == []


def test_no_test_replaces_a_function_that_the_event_loop_uses() -> None:
    """The name in the module under test is replaced: with `time.monotonic` itself all timers would stand still."""
    shared = re.compile(r"setattr\(\s*(?:[\"'](?:[\w.]+\.)?(?:asyncio|random|time)\.\w+[\"']|(?:asyncio|random|time),)")
    for planted in ('setattr("hutong.clock.time.monotonic"', "setattr(time, "):
        assert shared.search(planted)
    tests = [path for path in SOURCE.parents[1].joinpath("tests").rglob("*.py") if path != Path(__file__)]
    assert not [str(path) for path in tests if shared.search(path.read_text())]
