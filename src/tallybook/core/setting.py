"""A setting: a named value that hangs on the organisation, or on one of its customers, accounts, meters and so on.

Rules of event schemas read settings of the namespace `USER`. Those of the namespace `TOGAI` are Tallybook's own: each
is a choice of the organisation, with its values listed here. What a rule makes of a setting is in `enrichment`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, NoReturn, assert_never

from msgspec import Struct

from tallybook.core.decimals import DECIMAL_TEXT, within_quantity_bounds
from tallybook.core.errors import Conflict, Invalid, TooLarge
from tallybook.core.letterhead import (
    FOOTER_LINES_MAX,
    LETTERHEAD_LINE_CHARACTERS_MAX,
    LETTERHEAD_LINES_MAX,
    LOGO_PIXELS_MAX,
    Letterhead,
    footer_lines,
    letterhead_lines,
    logo_png,
)
from tallybook.core.tax import TAX_LINES_MAX, TAX_NAME_CHARACTERS_MAX, tax_rates

SETTING_ID_CHARACTERS_MAX = 50  # the interface names none; what names of definitions have
ENTITY_ID_CHARACTERS_MAX = 100  # the interface names none; ids of accounts have 50
SETTING_KEY_CHARACTERS_MAX = 200  # with the longest ids, and the rest
SETTING_NAME_CHARACTERS_MAX = 255  # the interface names none; what names of entities have
SETTING_VALUE_CHARACTERS_MAX = 10_000  # a rule has as many
SETTINGS_PER_ENTITY_MAX = 1_000  # the interface names none; they are read by people
JSON_NESTING_MAX = 32  # what rules may have
REPROCESS_HOURS_DEFAULT = 24  # the interface's own time
REPROCESS_HOURS_MAX = 87_600  # ten years; longer is `ever`
TAX_SETTING = "tax_rate"
NUMBER_PREFIX_CHARACTERS_MAX = 20  # a name and a year; it stands on paper beside the number
LATE_USAGE_DAYS_MAX = 3_650  # ten years, as long as accounts are kept for

_PREFIX = "setting"
_NUMBER_PREFIX = re.compile(rf"[A-Za-z0-9/_.-]{{1,{NUMBER_PREFIX_CHARACTERS_MAX}}}", re.ASCII)
_SETTING_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SWITCH = {"on": True, "off": False}
_WHOLE_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)


class Namespace(StrEnum):
    """Whose setting it is: the user's own, or one that Tallybook acts on."""

    USER = "USER"
    TOGAI = "TOGAI"


class EntityType(StrEnum):
    """What a setting may hang on."""

    ORGANIZATION = "ORGANIZATION"
    CUSTOMER = "CUSTOMER"
    ACCOUNT = "ACCOUNT"
    INVOICE_GROUP = "INVOICE_GROUP"
    EVENT_SCHEMA = "EVENT_SCHEMA"
    USAGE_METER = "USAGE_METER"
    ADD_ON = "ADD_ON"
    FEATURE = "FEATURE"
    PRICE_PLAN = "PRICE_PLAN"
    INVOICE = "INVOICE"


class SettingType(StrEnum):
    """What the text of a value means."""

    STRING = "STRING"
    NUMERIC = "NUMERIC"
    JSON = "JSON"
    JSON_LOGIC = "JSON_LOGIC"


class SettingPlace(Struct, frozen=True, kw_only=True, order=True):
    """What identifies a setting within an organisation; as text, `setting.USER.threshold.ACCOUNT.a1`."""

    namespace: Namespace
    setting_id: str
    entity_type: EntityType
    entity_id: str

    def __str__(self) -> str:
        return ".".join((_PREFIX, self.namespace, self.setting_id, self.entity_type, self.entity_id))


class SettingValue(Struct, frozen=True, kw_only=True):
    """What a setting says. `text` is text whatever the type: a number in digits, JSON and rules as written."""

    data_type: SettingType
    text: str


class Setting(Struct, frozen=True, kw_only=True):
    """A value with its name, by its place."""

    place: SettingPlace
    name: str
    value: SettingValue


class SettingKey(Struct, frozen=True, kw_only=True):
    """How a rule names a setting: by namespace and id, or a certain one by its whole place."""

    namespace: Namespace
    setting_id: str
    place: SettingPlace | None = None

    def may_mean(self, place: SettingPlace) -> bool:
        """Say whether the setting at that place is one that the key may mean, for some account."""
        if self.place is not None:
            return self.place == place
        return (self.namespace, self.setting_id) == (place.namespace, place.setting_id)

    def places(self, *, organisation_id: str, customer_id: str, account_id: str) -> tuple[SettingPlace, ...]:
        """Where to look for an account's value, in order: the account's own, its customer's, the organisation's."""
        if self.place is not None:
            return (self.place,)
        entities = (
            (EntityType.ACCOUNT, account_id),
            (EntityType.CUSTOMER, customer_id),
            (EntityType.ORGANIZATION, organisation_id),
        )
        return tuple(
            SettingPlace(
                namespace=self.namespace, setting_id=self.setting_id, entity_type=entity_type, entity_id=entity_id
            )
            for entity_type, entity_id in entities
        )


def setting_key(text: str, where: str) -> SettingKey:
    """Read `setting.<NAMESPACE>.<id>`, or with `.<ENTITY_TYPE>.<entityId>` behind it. Raises `Invalid`."""
    parts = text.split(".", 4)
    if len(parts) not in (3, 5) or parts[0] != _PREFIX:
        raise Invalid(f"{where}: written setting.<NAMESPACE>.<id>, as in setting.USER.metres_per_km")
    check_setting_id(parts[2], where)
    return SettingKey(
        namespace=namespace_from_text(parts[1]),
        setting_id=parts[2],
        place=place_from_text(text) if len(parts) == 5 else None,
    )


def place_from_text(text: str) -> SettingPlace:
    """Read `setting.<NAMESPACE>.<id>.<ENTITY_TYPE>.<entityId>`. Raises `Invalid`; the entity's id may have dots."""
    parts = text.split(".", 4)
    if len(parts) != 5 or parts[0] != _PREFIX:
        raise Invalid("a setting's id is written setting.<NAMESPACE>.<id>.<ENTITY_TYPE>.<entityId>")
    return SettingPlace(
        namespace=namespace_from_text(parts[1]),
        setting_id=parts[2],
        entity_type=entity_type_from_text(parts[3]),
        entity_id=parts[4],
    )


def namespace_from_text(text: str) -> Namespace:
    """The namespace, written in any case, as the interface's own examples do. Raises `Invalid`."""
    if text.upper() not in Namespace.__members__:
        raise Invalid(f"namespace: one of {', '.join(Namespace)}; found {text[:60]!r}")
    return Namespace(text.upper())


def entity_type_from_text(text: str) -> EntityType:
    """The kind of entity by its name. Raises `Invalid`."""
    if text not in EntityType.__members__:
        raise Invalid(f"entityType: one of {', '.join(EntityType)}; found {text[:60]!r}")
    return EntityType(text)


# ---- saving ----------------------------------------------------------------------------------------------------


def check_setting(setting: Setting) -> None:
    """Raise `Invalid`, naming what is wrong, unless the setting may be saved; `JSON_LOGIC` needs `parse_rule` too."""
    check_setting_id(setting.place.setting_id, "id")
    _check_text(setting.name, SETTING_NAME_CHARACTERS_MAX, "name")
    text = setting.value.text
    if len(text) > SETTING_VALUE_CHARACTERS_MAX:
        raise TooLarge(f"value: at most {SETTING_VALUE_CHARACTERS_MAX} characters, found {len(text)}")
    match setting.value.data_type:
        case SettingType.NUMERIC:
            _check_number(text)
        case SettingType.JSON:
            json_value(text)
        case SettingType.STRING | SettingType.JSON_LOGIC:
            _check_text(text, SETTING_VALUE_CHARACTERS_MAX, "value")
        case _:
            assert_never(setting.value.data_type)
    if setting.place.namespace is Namespace.TOGAI:
        _check_choice(setting)


def check_room_for_setting(count: int) -> None:
    """Raise `Conflict` when an entity that has `count` settings may have no more."""
    if count >= SETTINGS_PER_ENTITY_MAX:
        raise Conflict(f"there are {SETTINGS_PER_ENTITY_MAX} settings on it already", code="LIMIT_REACHED")


def check_setting_id(setting_id: str, where: str) -> None:
    """Raise `Invalid` unless it can be a setting's id: letters, digits, `_` and `-`, so that dots separate."""
    if not _SETTING_ID.fullmatch(setting_id) or len(setting_id) > SETTING_ID_CHARACTERS_MAX:
        raise Invalid(f"{where}: 1 to {SETTING_ID_CHARACTERS_MAX} letters, digits, '_' and '-'; found {setting_id!r}")


def json_value(text: str) -> object:
    """Read the value of a JSON setting; its numbers are `Decimal`. Raises `Invalid` or `TooLarge`."""
    try:
        value: object = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Invalid(f"value: not JSON: {error}") from None
    except RecursionError:
        raise TooLarge(_too_deep()) from None
    _check_json(value, 1)
    return value


def _check_text(text: str, maximum: int, where: str) -> None:
    if not text.strip() or len(text) > maximum:
        raise Invalid(f"{where}: 1 to {maximum} characters, and not blank; found {len(text)}")
    if _has_half_characters(text):
        raise Invalid(f"{where}: half of a surrogate pair is not text")


def _check_number(value: str) -> None:
    if not DECIMAL_TEXT.fullmatch(value):
        raise Invalid(
            f"value: {value[:60]!r} is not a number, as the data type NUMERIC has it; write digits, as in -1.5"
        )


def _check_json(value: object, depth: int) -> None:
    if depth > JSON_NESTING_MAX:
        raise TooLarge(_too_deep())
    match value:
        case str():
            if _has_half_characters(value):
                raise Invalid("value: half of a surrogate pair is not text")
        case list():
            for item in value:
                _check_json(item, depth + 1)
        case dict():
            for name, item in value.items():
                _check_json(name, depth + 1)
                _check_json(item, depth + 1)


def _has_half_characters(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:  # the exponent is beyond what decimal can hold
        raise ValueError(f"the number {text[:40]} is out of bounds") from None
    if not within_quantity_bounds(number):
        raise ValueError(f"the number {text[:40]} is out of bounds")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _too_deep() -> str:
    return f"value: nests at most {JSON_NESTING_MAX} deep"


# ---- what the organisation chooses -----------------------------------------------------------------------------


class ExpressionDialect(StrEnum):
    """How rules compute: exactly, or as Togai's engine does, digit for digit."""

    EXACT = "exact"
    TOGAI = "togai"


class Profile(StrEnum):
    """Which generation of the interface answers are shaped as."""

    TOGAI_2024_12 = "togai-2024-12"
    TOGAI_2023_05 = "togai-2023-05"


class OrganisationChoices(Struct, frozen=True, kw_only=True):
    """What an organisation has chosen, with the defaults for what it has not.

    `reprocess_within_hours` is how long an event waits for an account and a plan that come after it; 0 is never, None
    is for ever. `late_usage_days` is how long after the grace of its cycle an event is still metered.
    Without `auto_advance`, due invoices wait as drafts until somebody starts a bill run.
    `invoice_number_prefix` stands before the numbers of invoices that are issued from then on.
    """

    expression_dialect: ExpressionDialect = ExpressionDialect.EXACT
    profile: Profile = Profile.TOGAI_2024_12
    reprocess_within_hours: int | None = REPROCESS_HOURS_DEFAULT
    late_usage_days: int = 0
    auto_advance: bool = True
    invoice_number_prefix: str = ""


class _Choice(Struct, frozen=True, kw_only=True):
    """A setting of Tallybook's own: what may be chosen, and where it goes."""

    field: str
    read: Callable[[str], object]
    values: str
    entity_types: tuple[EntityType, ...] = (EntityType.ORGANIZATION,)


def _hours(text: str) -> int | None:
    if text == "ever":
        return None
    return _whole_number(text, REPROCESS_HOURS_MAX)


def _late_days(text: str) -> int:
    return _whole_number(text, LATE_USAGE_DAYS_MAX)


def _switch(text: str) -> bool:
    if text not in _SWITCH:
        raise ValueError(text)
    return _SWITCH[text]


def _number_prefix(text: str) -> str:
    if not _NUMBER_PREFIX.fullmatch(text):
        raise ValueError(text)
    return text


def _whole_number(text: str, maximum: int) -> int:
    number = int(text) if _WHOLE_NUMBER.fullmatch(text) else -1
    if not 0 <= number <= maximum:
        raise ValueError(text)
    return number


CHOICES: Mapping[str, _Choice] = {
    "expression_dialect": _Choice(
        field="expression_dialect", read=ExpressionDialect, values=" or ".join(ExpressionDialect)
    ),
    "profile": _Choice(field="profile", read=Profile, values=" or ".join(Profile)),
    "reprocess_within": _Choice(
        field="reprocess_within_hours",
        read=_hours,
        values=f"hours from 0 (never) to {REPROCESS_HOURS_MAX}, or ever",
    ),
    "late_usage_days": _Choice(
        field="late_usage_days", read=_late_days, values=f"days from 0 (none) to {LATE_USAGE_DAYS_MAX}"
    ),
    "invoice_auto_advance": _Choice(field="auto_advance", read=_switch, values=" or ".join(_SWITCH)),
    "invoice_number_prefix": _Choice(
        field="invoice_number_prefix",
        read=_number_prefix,
        values=f"1 to {NUMBER_PREFIX_CHARACTERS_MAX} letters, digits, '/', '_', '.' and '-'",
    ),
}
"""How the organisation's events are judged and answered about, by the setting's id."""

LETTERHEAD: Mapping[str, _Choice] = {
    "invoice_letterhead": _Choice(
        field="lines",
        read=letterhead_lines,
        values=f"1 to {LETTERHEAD_LINES_MAX} lines of at most {LETTERHEAD_LINE_CHARACTERS_MAX} characters, the first "
        "of them the organisation's name",
    ),
    "invoice_footer": _Choice(
        field="footer",
        read=footer_lines,
        values=f"1 to {FOOTER_LINES_MAX} lines of at most {LETTERHEAD_LINE_CHARACTERS_MAX} characters",
    ),
    "invoice_logo": _Choice(
        field="logo",
        read=logo_png,
        values=f"a PNG image in base64, at most {LOGO_PIXELS_MAX} pixels wide and high, 8 bits a channel, not "
        "interlaced",
    ),
}
"""What stands on the paper of invoices, by the setting's id; read only where one is printed."""

TAX: Mapping[str, _Choice] = {
    TAX_SETTING: _Choice(
        field="rates",
        read=tax_rates,
        values=f"percent from 0 to 100, or up to {TAX_LINES_MAX} lines such as VAT: 19, with names of at most "
        f"{TAX_NAME_CHARACTERS_MAX} characters",
        entity_types=(EntityType.ORGANIZATION, EntityType.CUSTOMER, EntityType.ACCOUNT),
    ),
}
"""What is added to invoices, by the setting's id; an account's own comes before its customer's and the
organisation's."""

OWN: Mapping[str, _Choice] = {**CHOICES, **LETTERHEAD, **TAX}
"""All of Tallybook's own settings. Most of them hang on the organisation."""


def organisation_choices(settings: Iterable[Setting]) -> OrganisationChoices:
    """What these settings, all of one organisation, choose; others do not matter."""
    return OrganisationChoices(**_chosen(CHOICES, settings))


def letterhead(settings: Iterable[Setting], *, name: str) -> Letterhead:
    """The organisation's paper by these settings of its; headed by its `name` where it has chosen nothing."""
    return Letterhead(**{"lines": (name,), **_chosen(LETTERHEAD, settings)})


def _chosen(choices: Mapping[str, _Choice], settings: Iterable[Setting]) -> dict[str, Any]:
    """What is chosen, by field; each in the type of its field, as the choice reads it."""
    own = [setting for setting in settings if setting.place.namespace is Namespace.TOGAI]
    found = [(choices[setting.place.setting_id], setting) for setting in own if setting.place.setting_id in choices]
    return {choice.field: choice.read(setting.value.text) for choice, setting in found}


def _check_choice(setting: Setting) -> None:
    choice = OWN.get(setting.place.setting_id)
    if choice is None:
        raise Invalid(
            f"id: no setting {setting.place.setting_id!r} in the namespace TOGAI; there are {', '.join(OWN)}; "
            "settings of your own go into the namespace USER",
            code="UNKNOWN_SETTING",
        )
    if setting.place.entity_type not in choice.entity_types:
        raise Invalid(f"entityType: {setting.place.setting_id} is a setting of {' or '.join(choice.entity_types)}")
    if setting.value.data_type not in (SettingType.STRING, SettingType.NUMERIC):
        raise Invalid(f"dataType: {setting.place.setting_id} is a STRING")
    try:
        choice.read(setting.value.text)
    except ValueError:
        raise Invalid(
            f"value: {setting.place.setting_id} is {choice.values}; found {setting.value.text[:60]!r}"
        ) from None
