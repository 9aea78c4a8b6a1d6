async def test_tx_runs_as_the_application_role(tx):
    assert await tx.fetchval("SELECT current_user") == "hutong_console"


async def test_both_servers_take_the_migrations(each_server_url):
    from hutong.db import migrate, pending_migrations
    from support import create_database

    url = create_database(each_server_url)
    assert pending_migrations(url)
    assert migrate(url)
    assert migrate(url) == []
