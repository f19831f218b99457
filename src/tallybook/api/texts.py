"""Texts of requests with their limits, so that the OpenAPI document shows them; the core checks them again."""

from typing import Annotated

from msgspec import Meta

from tallybook.core import customer, event_schema, usage_meter
from tallybook.core.account import ALIAS_CHARACTERS_MAX

_NAME_PATTERN = r"^[\sa-zA-Z0-9_-]*$"

Id = Annotated[str, Meta(min_length=1, max_length=customer.ID_CHARACTERS_MAX)]
Alias = Annotated[str, Meta(min_length=1, max_length=ALIAS_CHARACTERS_MAX)]
EntityName = Annotated[str, Meta(min_length=customer.NAME_CHARACTERS_MIN, max_length=customer.NAME_CHARACTERS_MAX)]
Email = Annotated[str, Meta(max_length=customer.EMAIL_CHARACTERS_MAX)]
AddressLine = Annotated[str, Meta(max_length=customer.ADDRESS_LINE_CHARACTERS_MAX)]
Country = Annotated[str, Meta(pattern="^[a-zA-Z]{2}$")]
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
DefinitionName = Annotated[str, Meta(min_length=1, max_length=event_schema.NAME_CHARACTERS_MAX, pattern=_NAME_PATTERN)]
Description = Annotated[str, Meta(max_length=event_schema.DESCRIPTION_CHARACTERS_MAX)]
Unit = Annotated[str, Meta(max_length=event_schema.UNIT_CHARACTERS_MAX)]
BillableName = Annotated[str, Meta(max_length=usage_meter.BILLABLE_NAME_CHARACTERS_MAX)]
Matcher = Annotated[str, Meta(max_length=usage_meter.MATCHER_CHARACTERS_MAX)]
Rule = Annotated[str, Meta(max_length=usage_meter.COMPUTATION_CHARACTERS_MAX)]
ComputationId = Annotated[str, Meta(max_length=usage_meter.COMPUTATION_ID_CHARACTERS_MAX)]
