"""The pipeline's own containers are rows of the policy like anybody's."""

from pathlib import Path

from shared.config import load as load_settings
from shared.containers import OWN_CONTAINERS
from shared.policy_file import load
from shared.policy_terms import OwnStore
from shared.stores.own_records import PLACE, OwnRecords
from shared.wiring import Product

ROOT = Path(__file__).parents[2]
POLICY = load(ROOT / "policy.yaml")


def test_every_container_the_product_writes_to_is_a_row_of_the_policy() -> None:
    rows = {c.store.container for c in POLICY.categories if isinstance(c.store, OwnStore)}
    assert {c.name for c in OWN_CONTAINERS} <= rows


def test_every_container_the_product_writes_to_is_swept_or_left_to_the_ledger_as_the_code_says() -> None:
    rows = {c.store.container: c for c in POLICY.categories if isinstance(c.store, OwnStore)}
    for own in OWN_CONTAINERS:
        row = rows[own.name]
        assert row.status == "enforced", own.name
        assert isinstance(row.store, OwnStore)
        assert row.store.swept_by == own.swept_by, own.name


def test_sweeps_are_wired_to_every_container_of_theirs_and_to_none_of_the_ledger_s() -> None:
    product = Product(load_settings({}, ROOT / "local.settings.json"))
    own = product.stores[PLACE]
    assert isinstance(own, OwnRecords)
    assert set(own.containers) == {c.name for c in OWN_CONTAINERS if c.swept_by == "pipeline"}
    assert not set(own.containers) & {"journals", "audit-log", "audit-state"}


def test_no_container_is_named_twice() -> None:
    names = [c.name for c in OWN_CONTAINERS]
    assert len(names) == len(set(names))
