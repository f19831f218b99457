"""Whom accounts belong to: a name, an address, and people. Everything that is billed hangs on the accounts."""

import re
from datetime import datetime
from enum import Enum

import msgspec

from tallybook.core.errors import Invalid

ID_CHARACTERS_MAX = 50
NAME_CHARACTERS_MIN = 3
NAME_CHARACTERS_MAX = 255
EMAIL_CHARACTERS_MAX = 320
ADDRESS_LINE_CHARACTERS_MAX = 255  # four lines of it and the rest stay within an address text of 1000
ADDRESS_TEXT_CHARACTERS_MAX = 1000
CONTACT_NAME_CHARACTERS_MAX = 50
CONTACT_PHONE_CHARACTERS_MAX = 30
CONTACTS_MAX = 1_000  # of a customer; the interface names none, and they are read by people

_CONTACT_EMAIL = re.compile(r"\S+@\S+\.\S+")
_PREFERRED_USERNAME = re.compile(r"[A-Za-z0-9]{3,50}", re.ASCII)


class CustomerStatus(Enum):
    """ARCHIVED is for good."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where bills go. `country` is an ISO 3166-1 alpha-2 code."""

    phone_number: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer of the organisation. `customer_id` is the caller's choice and never changes."""

    customer_id: str
    generated_id: str
    name: str
    primary_email: str
    address: Address
    status: CustomerStatus


class CustomerChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a customer; None leaves it as it is. An address is replaced as a whole."""

    name: str | None = None
    primary_email: str | None = None
    address: Address | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody at the customer. `username` is ours; `preferred_username` no other contact of the organisation has."""

    username: str
    customer_id: str
    preferred_username: str | None = None
    name: str
    email: str
    phone: str | None = None
    verified: bool = False
    created_by: str
    created_at: datetime


def changed_customer(customer: Customer, changes: CustomerChanges) -> Customer:
    """The customer with these changes. Raises `Invalid`, naming the field."""
    given = {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not None}
    changed = msgspec.structs.replace(customer, **given)
    check_customer(changed)
    return changed


def check_contact(contact: Contact) -> None:
    """Refuse texts that are empty or too long, and what is no e-mail address. Raises `Invalid`, naming the field."""
    if not contact.name.strip() or len(contact.name) > CONTACT_NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {CONTACT_NAME_CHARACTERS_MAX} characters, and not blank")
    check_email(contact.email, "email")
    if not _CONTACT_EMAIL.fullmatch(contact.email):
        raise Invalid("email: must be an e-mail address such as ann@example.com")
    if contact.phone is not None and len(contact.phone) > CONTACT_PHONE_CHARACTERS_MAX:
        raise Invalid(f"phone: at most {CONTACT_PHONE_CHARACTERS_MAX} characters")
    if contact.preferred_username is not None and not _PREFERRED_USERNAME.fullmatch(contact.preferred_username):
        raise Invalid("preferredUsername: must be 3 to 50 letters and digits")


def check_customer(customer: Customer) -> None:
    """Refuse texts that are empty or too long. Raises `Invalid`, naming the field."""
    check_path_id(customer.customer_id, "id")
    check_name(customer.name, "name")
    check_email(customer.primary_email, "primaryEmail")
    check_address(customer.address, "address")


def check_id(text: str, where: str) -> None:
    """Refuse an id that the caller chose badly. Raises `Invalid`."""
    if not 1 <= len(text) <= ID_CHARACTERS_MAX:
        raise Invalid(f"{where}: must be 1 to {ID_CHARACTERS_MAX} characters")
    if text != text.strip() or not text.isprintable():
        raise Invalid(f"{where}: must not have control characters, nor spaces at an end")


def check_path_id(text: str, where: str) -> None:
    """Refuse an id by which nobody could read the thing again: ids stand in paths. Raises `Invalid`."""
    check_id(text, where)
    if "/" in text or text in (".", ".."):
        raise Invalid(f"{where}: must not have a slash, nor be just dots, because it stands in paths")


def check_name(text: str, where: str) -> None:
    """Refuse a customer's or an account's name that is too short or too long. Raises `Invalid`."""
    if not NAME_CHARACTERS_MIN <= len(text) <= NAME_CHARACTERS_MAX:
        raise Invalid(f"{where}: must be {NAME_CHARACTERS_MIN} to {NAME_CHARACTERS_MAX} characters")


def check_email(text: str, where: str) -> None:
    """Refuse an e-mail address that is too long. Whether mail arrives there is not checked. Raises `Invalid`."""
    if len(text) > EMAIL_CHARACTERS_MAX:
        raise Invalid(f"{where}: at most {EMAIL_CHARACTERS_MAX} characters")


def check_address(address: Address, where: str) -> None:
    """Refuse an address with an endless line or a country that is no code. Raises `Invalid`."""
    for field, line in msgspec.structs.asdict(address).items():
        if line is not None and len(line) > ADDRESS_LINE_CHARACTERS_MAX:
            raise Invalid(f"{where}.{_camel(field)}: at most {ADDRESS_LINE_CHARACTERS_MAX} characters")
    country = address.country
    if country is not None and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise Invalid(f"{where}.country: must be a two-letter ISO 3166-1 code such as AE")


def address_text(address: Address) -> str:
    """The address on one line, as the older shape of a customer shows it; empty parts are left out."""
    parts = (address.line1, address.line2, address.postal_code, address.city, address.state, address.country)
    return ", ".join(part for part in parts if part)[:ADDRESS_TEXT_CHARACTERS_MAX]


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)
