"""What the tests of the Service Bus contract suite say about messages, and the entities that they use."""

import uuid
from pathlib import Path

from azure.servicebus import ServiceBusReceivedMessage

ENTITIES = Path(__file__).with_name("servicebus_entities.json")


def text(message: ServiceBusReceivedMessage) -> str:
    return b"".join(message.body).decode()


def unique(name: str = "id") -> str:
    """A name that no other test, nor an earlier run in a namespace that lasts, has used."""
    return f"{name}-{uuid.uuid4()}"
