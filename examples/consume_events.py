"""Counts the paid payments of each merchant, from the events on RabbitMQ, in a PostgreSQL of its own."""

import asyncio
import os

from hutong import consumer, db


async def count(tx: db.Tx, message: consumer.Message) -> None:
    if message.type == "payment.succeeded":
        await tx.execute(
            "INSERT INTO paid (merchant, payments) VALUES ($1, 1)"
            " ON CONFLICT (merchant) DO UPDATE SET payments = paid.payments + 1",
            message.merchant_id,
        )


async def main() -> None:
    async with db.Database.open(os.environ["DATABASE_URL"], role=None) as database:
        async with database.transaction() as tx:
            await consumer.install(tx)
            await tx.execute("CREATE TABLE IF NOT EXISTS paid (merchant text PRIMARY KEY, payments bigint NOT NULL)")
        counter = consumer.Consumer("counter", count, database, topics=["payment"])
        await consumer.rabbit(counter, os.environ["BROKER_URL"], queue="counter")


asyncio.run(main())
