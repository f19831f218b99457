"""The promise of a 202, tried: processes are killed under load, and everything acknowledged is counted once."""

import os
import secrets
from pathlib import Path

from crash.harness import CrashTest

KILLS = 20


def test_every_acknowledged_event_is_metered_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    """Afterwards each acknowledged id has one verdict, usage is their exact sum, and accepted = verdicts."""
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbelow(2**32))
    print(f"CRASH_SEED={seed}")  # shown when the test fails; set it to repeat the choices
    with CrashTest(tmp_path, seed=seed) as test:
        found = test.round(KILLS)
    assert found.problems == []
    assert found.acknowledged > KILLS
    assert found.unknown_outcomes > 0, "no kill ever hit a request under way"
    assert found.undone + found.redone > 0, "nothing was corrected"
