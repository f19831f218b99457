"""What is sold besides usage: licences, fixed fees and granted credits. What one costs is on the cards of a plan."""

from collections.abc import Mapping
from enum import Enum

import msgspec

from tallybook.core.errors import Conflict, Invalid

NAME_CHARACTERS_MAX = 255


class AddOnType(Enum):
    """On what kind of rate card it may stand; NAMED_LICENSE on that of licences, counted by who holds them."""

    LICENSE = "LICENSE"
    FIXED_FEE = "FIXED_FEE"
    CREDIT_GRANT = "CREDIT_GRANT"
    NAMED_LICENSE = "NAMED_LICENSE"


class AddOnStatus(Enum):
    """ARCHIVED is for good: no new plan may have it."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


ADD_ON_TRANSITIONS: Mapping[AddOnStatus, frozenset[AddOnStatus]] = {
    AddOnStatus.ACTIVE: frozenset({AddOnStatus.ARCHIVED}),
    AddOnStatus.ARCHIVED: frozenset(),
}


class AddOn(msgspec.Struct, frozen=True, kw_only=True):
    """An add-on of the organisation. `name` no other active one has; invoices show `billable_name` if there is one."""

    add_on_id: str
    name: str
    type: AddOnType
    billable_name: str | None = None
    status: AddOnStatus = AddOnStatus.ACTIVE

    @property
    def display_name(self) -> str:
        """What invoices call it."""
        return self.billable_name or self.name


class AddOnChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of an add-on; None leaves it as it is, and an empty `billable_name` takes it away."""

    name: str | None = None
    billable_name: str | None = None


def changed_add_on(add_on: AddOn, changes: AddOnChanges) -> AddOn:
    """The add-on with these changes. Raises `Invalid` or `Conflict`."""
    if add_on.status is AddOnStatus.ARCHIVED:
        raise Conflict(f"add-on {add_on.name!r} is archived, which is for good", code="ADD_ON_ARCHIVED")
    given = {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not None}
    changed = msgspec.structs.replace(add_on, **given)
    check_add_on(changed)
    return changed


def check_add_on(add_on: AddOn) -> None:
    """Refuse names that are blank or too long. Raises `Invalid`, naming the field."""
    if not add_on.name.strip() or len(add_on.name) > NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {NAME_CHARACTERS_MAX} characters, and not blank")
    if add_on.billable_name is not None and len(add_on.billable_name) > NAME_CHARACTERS_MAX:
        raise Invalid(f"billableName: at most {NAME_CHARACTERS_MAX} characters")
