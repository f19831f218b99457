"""Texts of requests with their limits, so that the OpenAPI document shows them; the core checks them again."""

from typing import Annotated

from msgspec import Meta

from tallybook.core import add_on, customer, event_schema, setting, usage_meter
from tallybook.core.account import ALIAS_CHARACTERS_MAX

ALIAS_CHARACTERS_MIN = 3  # of an alias without dates; one with dates may have a single character
_NAME_PATTERN = r"^[\sa-zA-Z0-9_-]*$"

Id = Annotated[str, Meta(min_length=1, max_length=customer.ID_CHARACTERS_MAX)]
Alias = Annotated[str, Meta(min_length=1, max_length=ALIAS_CHARACTERS_MAX)]
EntityName = Annotated[str, Meta(min_length=customer.NAME_CHARACTERS_MIN, max_length=customer.NAME_CHARACTERS_MAX)]
Email = Annotated[str, Meta(max_length=customer.EMAIL_CHARACTERS_MAX)]
AddressLine = Annotated[str, Meta(max_length=customer.ADDRESS_LINE_CHARACTERS_MAX)]
Country = Annotated[str, Meta(pattern="^[a-zA-Z]{2}$")]
LongAlias = Annotated[str, Meta(min_length=ALIAS_CHARACTERS_MIN, max_length=ALIAS_CHARACTERS_MAX)]
ContactName = Annotated[str, Meta(min_length=1, max_length=customer.CONTACT_NAME_CHARACTERS_MAX)]
ContactEmail = Annotated[str, Meta(max_length=customer.EMAIL_CHARACTERS_MAX, pattern=r"^\S+@\S+\.\S+$")]
PreferredUsername = Annotated[str, Meta(pattern="^[A-Za-z0-9]{3,50}$")]
Phone = Annotated[str, Meta(max_length=customer.CONTACT_PHONE_CHARACTERS_MAX)]
AddOnName = Annotated[str, Meta(max_length=add_on.NAME_CHARACTERS_MAX)]
GroupName = Annotated[str, Meta(min_length=1, max_length=customer.NAME_CHARACTERS_MAX)]
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
DefinitionName = Annotated[str, Meta(min_length=1, max_length=event_schema.NAME_CHARACTERS_MAX, pattern=_NAME_PATTERN)]
Description = Annotated[str, Meta(max_length=event_schema.DESCRIPTION_CHARACTERS_MAX)]
Unit = Annotated[str, Meta(max_length=event_schema.UNIT_CHARACTERS_MAX)]
FilterFields = Annotated[
    list[Annotated[str, Meta(max_length=event_schema.FULL_NAME_CHARACTERS_MAX)]],
    Meta(max_length=event_schema.FILTER_FIELDS_MAX),
]
EventIdTemplate = Annotated[str, Meta(max_length=event_schema.TEMPLATE_CHARACTERS_MAX)]
BillableName = Annotated[str, Meta(max_length=usage_meter.BILLABLE_NAME_CHARACTERS_MAX)]
Matcher = Annotated[str, Meta(max_length=usage_meter.MATCHER_CHARACTERS_MAX)]
Rule = Annotated[str, Meta(max_length=usage_meter.COMPUTATION_CHARACTERS_MAX)]
ComputationId = Annotated[str, Meta(max_length=usage_meter.COMPUTATION_ID_CHARACTERS_MAX)]
SettingId = Annotated[str, Meta(min_length=1, max_length=setting.SETTING_ID_CHARACTERS_MAX)]
SettingName = Annotated[str, Meta(min_length=1, max_length=setting.SETTING_NAME_CHARACTERS_MAX)]
SettingText = Annotated[str, Meta(max_length=setting.SETTING_VALUE_CHARACTERS_MAX)]
EntityId = Annotated[str, Meta(min_length=1, max_length=setting.ENTITY_ID_CHARACTERS_MAX)]
