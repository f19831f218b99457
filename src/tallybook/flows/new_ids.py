"""Ids that Tallybook gives out: `<prefix>.<11 characters>.<5 characters>`, as the interface's clients know them."""

import secrets
import string

_CHARACTERS = string.digits + string.ascii_letters


def new_id(prefix: str) -> str:
    """A random id, such as `um.1zYnCiM9Bpg.lv25y`: 95 bits, so that no two are ever the same."""
    return f"{prefix}.{_characters(11)}.{_characters(5)}"


def _characters(count: int) -> str:
    return "".join(secrets.choice(_CHARACTERS) for _ in range(count))
