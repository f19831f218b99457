"""A Tallybook in this process, on a temporary folder, with or without a catalogue."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_caller import Caller
from correction_samples import define
from embedded import ORGANISATION, Embedded

from tallybook.core.credential import Scope


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    yield made
    made.close()


@pytest.fixture
def catalogue(embedded: Embedded) -> Iterator[Caller]:
    """Schema `rides` with an active meter, and accounts `a1`, with the alias `one`, and `a2`."""
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        define(caller)
        yield caller
