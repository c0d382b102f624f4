"""Lives at random on machines whose clocks are ten minutes off, either way, end as the model says, which is told true time.

RETENTION_LIVES=N lives an eighth of N (default 32).
"""

from functools import partial

import pytest
from machines import Scattered
from test_lives import LIVES, STEPS, lived


@pytest.mark.parametrize("seed", range(LIVES // 8))
def test_a_life_on_machines_whose_clocks_differ_ends_as_the_model_says(seed: int) -> None:
    lived(seed, [*range(STEPS)], partial(Scattered, seed=seed))
