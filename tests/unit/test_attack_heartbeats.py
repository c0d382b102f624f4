"""Attack: who may write in `heartbeats` (role ledger may) has posture never looked at again, and nobody told."""

from datetime import timedelta

import pytest
from ledger_world import START
from office import POLICY, Office

from shared.errors import TransientError
from shared.posture.watch import PostureLook, PostureWatch


async def test_a_look_at_posture_from_the_future_is_no_look() -> None:
    office = Office()

    async def stores() -> dict[str, object]:
        raise TransientError("the stores are asked")

    forged = PostureLook(at=START + timedelta(days=3650))
    await office.heartbeats.objects.create("posture.json", forged.model_dump_json().encode())
    watch = PostureWatch(policy=POLICY, stores=stores, heartbeats=office.heartbeats.objects)
    with pytest.raises(TransientError):
        await watch.watch(START)
