"""A consumer of events: handles each event once and in order, and notices every missing one.

Promises: the handler's changes in its transaction and the fact that the message was handled are committed together; an
object's messages are handled in order; a missing number is requested until it arrives; a message that cannot be handled
is parked, later messages of its object wait behind it, and everything else continues.

It needs a PostgreSQL of its own and nothing else of Hutong.
"""

from hutong.consumer.consumer import Consumer
from hutong.consumer.handling import Handler
from hutong.consumer.intake import install
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
    "drop_parked",
    "install",
    "kafka",
    "list_parked",
    "progress",
    "rabbit",
    "retry_parked",
]
