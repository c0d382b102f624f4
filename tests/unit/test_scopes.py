"""What the policy says of persons and homes: until when backups hold what was erased."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.policy import Policy
from shared.policy_file import load
from shared.requests.scopes import backups_until

POLICY = load(Path(__file__).parents[2] / "policy.yaml")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def with_backups(*statuses: str) -> Policy:
    """The policy with one row of backups for each status."""
    backups = POLICY.category("backups")
    others = tuple(category for category in POLICY.categories if category.id != "backups")
    rows = tuple(
        backups.model_copy(update={"id": f"backups-{number}", "status": status})
        for number, status in enumerate(statuses)
    )
    return replace(POLICY, categories=others + rows)


def test_enforced_backups_hold_an_erasure_for_their_period_and_cadence() -> None:
    assert backups_until(with_backups("enforced", "enforced"), NOW) == NOW + timedelta(days=30, hours=1)


def test_with_backups_that_are_only_planned_no_time_is_claimed() -> None:
    assert backups_until(with_backups("planned"), NOW) is None
    assert backups_until(with_backups("enforced", "planned"), NOW) is None


def test_without_backups_in_the_policy_nothing_is_held() -> None:
    assert backups_until(with_backups(), NOW) == NOW
