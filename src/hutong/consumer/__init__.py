"""For those who want the events: each handled once, in order, and none missing without being noticed.

Promises: what the handler does in its transaction and the fact that the message was handled are committed together; an
object's messages are handled in order; a number that is missing is asked for until it comes; a message that cannot be
handled is parked, what comes later for its object waits behind it, and everything else goes on.

It needs a PostgreSQL of its own and nothing else of Hutong.
"""

from hutong.consumer.consumer import Consumer
from hutong.consumer.handling import Handler
from hutong.consumer.intake import install
from hutong.consumer.message import digest_hash, item_hash
from hutong.consumer.model import Message, Parked, Policy, Progress, Source, Taken
from hutong.consumer.parking import drop_parked, list_parked, progress, retry_parked
from hutong.consumer.transport import kafka, rabbit

__all__ = [
    "Consumer",
    "Handler",
    "Message",
    "Parked",
    "Policy",
    "Progress",
    "Source",
    "Taken",
    "digest_hash",
    "drop_parked",
    "install",
    "item_hash",
    "kafka",
    "list_parked",
    "progress",
    "rabbit",
    "retry_parked",
]
