"""What the platform would log of a failed store call: the whole chain of exceptions, and no SDK's text in it.

The SDKs' texts quote paths (on a refused signature, the very string that was signed), and so the names of records.
"""

import traceback

import pytest
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from local.processes import Process
from local.servers import Ports, settings
from shared.errors import RetentionError
from shared.stores.blob import BlobObjects

NAME = "home-of-anna"


async def test_a_refused_key_is_told_without_the_sdk_s_text(azurite: Process) -> None:
    connection = settings(Ports(blob=azurite.program.port))["BLOB_STATE"]
    before, _, after = connection.partition("AccountKey=")
    wrong = f"{before}AccountKey=d3Jvbmcga2V5IQ==;{after.partition(';')[2]}"
    no_retry = ExponentialRetry(retry_total=0)
    async with BlobServiceClient.from_connection_string(wrong, retry_policy=no_retry) as client:
        objects = BlobObjects(client.get_container_client("journals"))
        calls = [
            objects.read(NAME),
            objects.create(NAME, b""),
            objects.replace(NAME, b"", etag='"1"'),
            objects.delete(NAME),
            anext(objects.list(NAME)),
            objects.now(),
        ]
        for call in calls:
            with pytest.raises(RetentionError) as raised:
                await call
            logged = "".join(traceback.format_exception(raised.value))
            assert "azure.core.exceptions" not in logged
            assert NAME not in logged
