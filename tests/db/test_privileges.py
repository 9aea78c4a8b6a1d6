"""Each part of the platform has the rights that it needs, and nobody can give themselves more.

`privileges.txt` is the one list of rights. A new table, or a function that runs with its owner's rights, takes a line
there; the failure of the first test prints the lines.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg
import pytest

from hutong.db import API_ROLE, CONSOLE_ROLE, WORKER_ROLE, Database, EmbeddedServer
from hutong.db.pool import APP_ROLE, PART_ROLES

DECLARED = Path(__file__).with_name("privileges.txt")
EVERY = (APP_ROLE, *PART_ROLES)

ACTUAL = """
    WITH ours AS (
        SELECT c.oid, c.relname, n.nspname || '.' || c.relname AS name, c.relkind, c.relacl, c.relowner
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^(pg_|information_schema$)' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    ),
    held AS (
        SELECT o.name, a.grantee, a.privilege_type AS what FROM ours o, aclexplode(o.relacl) a
        WHERE a.grantee <> o.relowner
        UNION ALL
        SELECT o.name, a.grantee, format('%s (%s)', a.privilege_type, string_agg(c.attname, ', ' ORDER BY c.attnum))
        FROM ours o JOIN pg_attribute c ON c.attrelid = o.oid, aclexplode(c.attacl) a
        WHERE NOT c.attisdropped GROUP BY o.name, a.grantee, a.privilege_type
        UNION ALL
        SELECT p.oid::regprocedure::text, a.grantee, a.privilege_type
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
            aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE n.nspname !~ '^(pg_|information_schema$)' AND a.grantee <> p.proowner
            AND p.prorettype <> 'trigger'::regtype AND (p.prosecdef OR a.grantee <> 0)
        UNION ALL
        SELECT 'schema ' || n.nspname, a.grantee, a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname !~ '^(pg_|information_schema$)' AND a.grantee <> n.nspowner AND n.nspname <> 'public'
    )
    SELECT format('%s  %s  %s', coalesce(r.rolname, 'PUBLIC'), h.name, string_agg(h.what, ', ' ORDER BY h.what)) AS line
    FROM held h LEFT JOIN pg_roles r ON r.oid = h.grantee
    WHERE h.name !~ '^events[.](outbox|delivery|delivery_try|stream_entry)_(first|[0-9])'
    GROUP BY r.rolname, h.name
"""


def declared() -> set[str]:
    return {line for line in DECLARED.read_text().splitlines() if line and not line.startswith("#")}


def test_the_rights_in_the_database_are_those_of_the_list(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url) as connection:
        actual = {line for (line,) in connection.execute(ACTUAL).fetchall()}
        rights = connection.execute(
            "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, ARRAY("
            "SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid "
            "ORDER BY 1) FROM pg_roles r WHERE rolname = ANY (%s) ORDER BY 1", (list(EVERY),),
        ).fetchall()  # fmt: skip
        owned = connection.execute(
            "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass "
            "AND refobjid = ANY (SELECT oid FROM pg_roles WHERE rolname = ANY (%s))", (list(EVERY),),
        ).fetchone()  # fmt: skip
    unexpected, missing = sorted(actual - declared()), sorted(declared() - actual)
    assert not unexpected, f"add to {DECLARED.name}, if each part needs these:\n" + "\n".join(unexpected)
    assert not missing, f"remove from {DECLARED.name}:\n" + "\n".join(missing)
    assert rights == [
        (API_ROLE, False, [APP_ROLE]),
        (APP_ROLE, False, []),
        (CONSOLE_ROLE, False, [API_ROLE, WORKER_ROLE]),
        (WORKER_ROLE, False, [APP_ROLE]),
    ]
    assert owned == (0,)


MAKES_AN_ADMINISTRATOR = (
    "INSERT INTO operators.operator (id, name, role, key_hash, created_at) "
    "VALUES (gen_random_uuid(), 'x', 'admin', sha256('x'), now())"
)
ONLY_COMMANDS = [
    MAKES_AN_ADMINISTRATOR,
    "UPDATE operators.operator SET disabled_at = now()",
    "INSERT INTO merchants.merchant (id, name, created_at) VALUES (gen_random_uuid(), 'x', now())",
    "UPDATE merchants.merchant SET fee_ppm = 0",
    "UPDATE merchants.merchant SET logo_content = ''",
    "INSERT INTO merchants.api_key (id) VALUES (gen_random_uuid())",
    "UPDATE merchants.api_key SET revoked_at = NULL",
    "UPDATE channels.account SET credentials_sealed = ''",
    "INSERT INTO channels.account (id, channel) VALUES (gen_random_uuid(), 'wechat')",
]
ONLY_THE_API = [
    "INSERT INTO operators.proposal (id) VALUES (gen_random_uuid())",
    "UPDATE operators.proposal SET state = 'approved'",
    "INSERT INTO events.endpoint (endpoint_id) VALUES (gen_random_uuid())",
]
ONLY_THE_WORKER = [
    "SELECT events.detach_partition('outbox_1', now())",
    "SELECT ledger.add_partition(0, 1)",
    "INSERT INTO ledger.seal DEFAULT VALUES",
    "UPDATE ledger.day_cut SET step = 'finished'",
    "DELETE FROM ledger.day_balance",
    "UPDATE events.sequencer SET snapshot = NULL",
]
NOBODY = [
    "UPDATE operators.operator SET role = 'admin'",
    "UPDATE operators.operator SET key_hash = sha256('x')",
    "DELETE FROM operators.operator",
    "UPDATE operators.audit SET reason = 'x'",
    "DELETE FROM operators.audit",
    "UPDATE operators.audit_head SET seq = 0",
    "INSERT INTO operators.audit (seq, hash) VALUES (1, sha256('x'))",
    "UPDATE merchants.api_key SET hash = sha256('x')",
    "UPDATE merchants.api_key SET merchant_id = gen_random_uuid()",
    "DELETE FROM merchants.api_key",
    "UPDATE operators.proposal SET payload = '{}'",
    "UPDATE operators.proposal SET maker_id = gen_random_uuid()",
    "UPDATE ledger.transfer SET amount = 0",
    "DELETE FROM ledger.transfer",
    "TRUNCATE ledger.transfer",
    "UPDATE ledger.seal SET hash = sha256('x')",
    "DELETE FROM events.outbox",
    "DELETE FROM payments.payment",
    "DELETE FROM payments.timeline",
    "ALTER TABLE operators.audit DISABLE TRIGGER ALL",
    "DROP TABLE operators.audit",
    "CREATE TABLE public.mine (a integer)",
    "CREATE FUNCTION operators.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "GRANT hutong_console TO hutong_api",
    "ALTER ROLE hutong_api SUPERUSER",
    "ALTER ROLE hutong_app CREATEROLE",
    "CREATE ROLE mine LOGIN",
    "SET session_replication_role = 'replica'",
    "COPY operators.operator TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
]
FORBIDDEN = {
    APP_ROLE: ONLY_COMMANDS + ONLY_THE_API + ONLY_THE_WORKER + NOBODY,
    API_ROLE: ONLY_COMMANDS + ONLY_THE_WORKER + NOBODY,
    WORKER_ROLE: ONLY_COMMANDS + ONLY_THE_API + NOBODY,
    CONSOLE_ROLE: NOBODY,
}


@pytest.mark.parametrize("role", EVERY)
async def test_what_a_part_may_not_do_the_database_refuses(database_url: str, role: str) -> None:
    succeeded = []
    async with Database.open(database_url, size=1, role=role) as database:
        for statement in FORBIDDEN[role]:
            try:
                async with database.pool.acquire() as connection, connection.transaction():
                    await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            except asyncpg.PostgresError as error:
                raise AssertionError(f"{statement} is refused, but not for want of a right: {error}") from error
            succeeded.append(statement)
        async with database.transaction() as tx:
            await tx.execute("GRANT TRUNCATE ON operators.audit TO hutong_app")  # only warns that nothing was granted
            assert not await tx.fetchval("SELECT has_table_privilege('hutong_app', 'operators.audit', 'TRUNCATE')")
    assert not succeeded


async def test_a_part_that_logs_in_as_its_role_cannot_take_another(embedded: EmbeddedServer, database_url: str) -> None:
    owner = urlsplit(embedded.start())
    if owner.query != urlsplit(database_url).query:
        pytest.skip("the logins are those of the embedded server")
    embedded.provide_logins()
    for role in (API_ROLE, WORKER_ROLE):
        own = urlunsplit(urlsplit(embedded.login_url(role))._replace(path=urlsplit(database_url).path))
        async with Database.open(own, size=1, role=role) as opened, opened.pool.acquire() as connection:
            assert await connection.fetchval("SELECT session_user || ' ' || current_user") == f"{role} {role}"
            await connection.execute("RESET ROLE")
            for other in {"postgres", *EVERY} - {APP_ROLE, role}:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SET ROLE {other}")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SET SESSION AUTHORIZATION {other}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(MAKES_AN_ADMINISTRATOR)
