"""What the tests of the Service Bus contract suite say about messages."""

import uuid

from azure.servicebus import ServiceBusReceivedMessage


def text(message: ServiceBusReceivedMessage) -> str:
    return b"".join(message.body).decode()


def unique(name: str = "id") -> str:
    """A name that no other test, nor an earlier run in a namespace that lasts, has used."""
    return f"{name}-{uuid.uuid4()}"
