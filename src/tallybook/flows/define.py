"""What the flows that define things have in common; each kind of definition has a file of its own beside this one.

What a definition must be like by itself is checked in the core; what depends on the others, in these flows.
"""

from tallybook.core.errors import Conflict


def check_room(count: int, count_max: int, what: str) -> None:
    """Refuse one more when there are `count_max` already. Raises `Conflict`."""
    if count >= count_max:
        raise Conflict(f"there are {count_max} {what} already, and no more are allowed", code="LIMIT_REACHED")
