"""Event schemas that every organisation has: the interface gives their names a meaning of their own."""

from collections.abc import Mapping

from tallybook.core.event_schema import (
    BOOKED_USAGE,
    AttributeDefinition,
    DimensionDefinition,
    EventSchema,
    SchemaStatus,
)

BOOKED_METER = "usage_meter_id"
BOOKED_UNITS = "usage"

BOOKED_USAGE_SCHEMA = EventSchema(
    name=BOOKED_USAGE,
    version=1,
    status=SchemaStatus.ACTIVE,
    description="Books the attribute usage straight onto the meter that the dimension usage_meter_id names.",
    attributes=(AttributeDefinition(name=BOOKED_UNITS),),
    dimensions=(DimensionDefinition(name=BOOKED_METER),),
)

INTERNAL_SCHEMAS: Mapping[str, EventSchema] = {BOOKED_USAGE: BOOKED_USAGE_SCHEMA}
"""By name. No meter reads their events by itself, and nobody can change them."""
