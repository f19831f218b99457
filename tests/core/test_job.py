"""The states that a job passes through."""

from itertools import pairwise

import pytest

from tallybook.core.errors import Conflict
from tallybook.core.job import RUNNABLE, SETTLED, EntryCounts, EntryStatus, JobStatus, check_transition, entry_counts

S = JobStatus
USUAL = (S.SCHEDULED, S.PENDING, S.INITIALIZED, S.IN_PROGRESS, S.COMPLETED)
ASKING = (S.SCHEDULED, S.PENDING, S.INITIALIZED, S.WAITING_FOR_CONFIRMATION, S.IN_PROGRESS, S.COMPLETED)


@pytest.mark.parametrize("path", [USUAL, ASKING, (S.WAITING_FOR_CONFIRMATION, S.CANCELLED)])
def test_the_ways_of_the_interface(path: tuple[JobStatus, ...]) -> None:
    """With and without confirmation, and rejected."""
    for before, after in pairwise(path):
        check_transition(before, after)


def test_nothing_leaves_an_end_and_nobody_runs_what_waits() -> None:
    """Completed, failed and cancelled are for good; what waits for a person does not go on by itself."""
    assert {S.COMPLETED, S.FAILED, S.CANCELLED} == SETTLED
    assert {S.SCHEDULED, S.PENDING, S.INITIALIZED, S.IN_PROGRESS} == RUNNABLE
    for before in SETTLED:
        for after in S:
            with pytest.raises(Conflict):
                check_transition(before, after)
    with pytest.raises(Conflict):
        check_transition(S.IN_PROGRESS, S.CANCELLED)


def test_counts_of_entries() -> None:
    """What is being done is pending still, and what was cancelled is in the total alone."""
    by_status = {EntryStatus.PENDING: 1, EntryStatus.IN_PROGRESS: 2, EntryStatus.FAILED: 4, EntryStatus.CANCELLED: 8}
    assert entry_counts(by_status) == EntryCounts(total=15, pending=3, completed=0, failed=4)
