"""The pipeline's own containers are rows of the policy like anybody's."""

from pathlib import Path

from shared.containers import OWN_CONTAINERS
from shared.policy import OwnStore
from shared.policy_file import load

POLICY = load(Path(__file__).parents[2] / "policy.yaml")


def test_every_container_the_product_writes_to_is_a_row_of_the_policy() -> None:
    rows = {c.store.container for c in POLICY.categories if isinstance(c.store, OwnStore)}
    assert {c.name for c in OWN_CONTAINERS} <= rows


def test_no_container_is_named_twice() -> None:
    names = [c.name for c in OWN_CONTAINERS]
    assert len(names) == len(set(names))
