"""Attack: the seed that was given up, with write on `audit-state`, makes the new key sign a second history.

What was signed stands under immutability in `audit-log`, and nothing there is touched here. So the sealer can see it.
"""

from dataclasses import replace

import pytest
from ledger_world import YEAR, World, event

from shared.errors import IntegrityError
from shared.ledger.checkpoint import Checkpoint, Signer
from shared.ledger.head import Staged, decode_head
from shared.ledger.log import append
from shared.ledger.merkle import leaf_hash
from shared.ledger.seal import seal
from shared.ledger.tiles import edge_root, extend, join_bundle


@pytest.mark.parametrize("signed", [305, 315], ids=["of the size that was signed", "of a size that nobody signed"])
async def test_who_has_a_former_seed_and_the_mutable_container_gets_no_second_history_signed_by_the_new_key(
    signed: int,
):
    world = World()
    await world.settle("x", 300)
    await world.work()
    former = world.signer()
    new = Signer(name=former.verifier.name, seed=bytes(reversed(range(32))), former=[former.verifier])
    await world.settle("y", 5)
    await append(world.ledger, YEAR)
    assert (await seal(world.ledger, YEAR, new)).size == 305, "the new key has signed what is true"

    state, origin = world.stores["state"], world.ledger.origin_of(YEAR)
    stored = await state.read(f"{YEAR}/head")
    head = decode_head(stored.data, origin)
    lies = [event("lie", number) for number in range(60)]  # in place of the 49 true entries after the last full bundle
    hashes = [leaf_hash(each) for each in lies]
    size = head.base + len(lies)
    root = edge_root(extend(head.edge, hashes)[0])
    name = f"{YEAR}/staging/{'0' * 32}"
    await state.create(name, join_bundle(lies))
    forged = replace(head, size=size, root=root, staged=Staged(name=name, start=head.base))
    await state.replace(f"{YEAR}/head", forged.encode(origin), etag=stored.etag)
    part = Checkpoint(origin=origin, size=signed, root=edge_root(extend(head.edge, hashes[: signed - head.base])[0]))
    latest = await state.read(f"{YEAR}/checkpoint")
    await state.replace(f"{YEAR}/checkpoint", former.sign(part), etag=latest.etag)

    with pytest.raises(IntegrityError):
        await seal(world.ledger, YEAR, new)
