"""API keys as text, and what their scopes include."""

from datetime import UTC, datetime

import pytest

from tallybook.core.credential import (
    ApiKey,
    Scope,
    identity_of,
    key_text,
    looks_like_key,
    with_included,
)
from tallybook.core.errors import Forbidden


def test_key_has_prefix_secret_and_checksum() -> None:
    """`tb_`, 43 characters for 256 bits, 6 for the checksum; the least and the greatest secret have the same length."""
    for secret in (b"\0" * 32, b"\xff" * 32):
        text = key_text(secret)
        assert text.startswith("tb_")
        assert len(text) == 3 + 43 + 6
        assert looks_like_key(text)
    assert key_text(b"\0" * 32)[3:46] == "0" * 43


def test_one_wrong_character_anywhere_is_noticed() -> None:
    """A mistyped key is refused by its form alone."""
    text = key_text(bytes(range(32)))
    for index, character in enumerate(text):
        wrong = text[:index] + ("x" if character != "x" else "y") + text[index + 1 :]
        assert not looks_like_key(wrong)


@pytest.mark.parametrize("text", ["", "tb_", "tb_" + "é" * 49, "TB_" + "0" * 49, key_text(b"\1" * 32) + "\n"])
def test_other_text_is_no_key(text: str) -> None:
    """Only the exact form counts."""
    assert not looks_like_key(text)


def test_scopes_include_others() -> None:
    """`write` includes `read`, `admin` everything, `ingest` nothing else."""
    assert with_included({Scope.INGEST}) == {Scope.INGEST}
    assert with_included({Scope.WRITE}) == {Scope.WRITE, Scope.READ}
    assert with_included({Scope.ADMIN}) == set(Scope)
    assert with_included({Scope.INGEST, Scope.READ}) == {Scope.INGEST, Scope.READ}


def test_missing_scope_is_named() -> None:
    """The refusal says what is needed and what is there."""
    key = ApiKey(
        key_id="k",
        organisation_id="o",
        name="n",
        secret_hash=b"",
        scopes=frozenset({Scope.READ}),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    with pytest.raises(Forbidden, match=r"'ingest'.*'read'"):
        identity_of(key).require("ingest")
    identity_of(key).require("read")
