"""`make crash`: hundreds of kills, checked in rounds. Run as `python -m crash.run` with `tests` on the path."""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from crash.harness import CrashTest, Kill

KILLS_PER_ROUND = 50


def main() -> int:
    """Kill, check, say what was found; the exit status is 1 when something was lost, doubled or unbalanced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args()
    print(f"{options.kills} kills, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tallybook-crash-") as folder:
        return _run(Path(folder), kills=options.kills, seed=options.seed)


def _run(folder: Path, *, kills: int, seed: int) -> int:
    started = time.monotonic()
    victims: list[str] = []
    with CrashTest(folder, seed=seed) as test:
        while len(victims) < kills:
            found = test.round(min(KILLS_PER_ROUND, kills - len(victims)), on_kill=lambda each: _note(each, victims))
            print(
                f"\r{len(victims)} kills in {time.monotonic() - started:.0f} s: {found.acknowledged} ids acknowledged, "
                f"{found.accepted} events accepted, {found.duplicates} of them repeats; "
                f"{found.undone} undone, {found.redone} redone; "
                f"{found.unknown_outcomes} requests without an answer; {len(found.problems)} problems",
                flush=True,
            )
            if found.problems:
                print("\n".join(found.problems), file=sys.stderr)
                print(f"seed {seed}", file=sys.stderr)
                return 1
    print(f"nothing lost, nothing doubled, everything balanced; killed were {dict(Counter(victims))}")
    return 0


def _note(choice: Kill, victims: list[str]) -> None:
    victims.append(choice.victim)
    print(f"\r{len(victims)} {choice.victim:<12}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
