"""A proxy that the environment names is used, and where it names none nobody looks for one at each request."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from local import servers
from local.processes import free_port
from shared.stores.blob import BlobObjects, client_options


async def asked(azurite: Any) -> object:
    account = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_STATE"]
    options = {**client_options(), "retry_policy": ExponentialRetry(retry_total=0)}
    async with BlobServiceClient.from_connection_string(account, **options) as service:
        container = service.get_container_client("proxied")
        if not await container.exists():
            await container.create_container()
        return await BlobObjects(container).read("nothing")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_without_a_proxy_in_the_environment_the_transport_does_not_look_for_one(azurite: Any) -> None:
    assert client_options()["use_env_settings"] is False
    assert await asked(azurite) is None


async def test_a_proxy_in_the_environment_is_used(azurite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await asked(azurite) is None
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")  # nobody is there: who goes by it gets nowhere
    with pytest.raises(ServiceRequestError):
        await asked(azurite)
