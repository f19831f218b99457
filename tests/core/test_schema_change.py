"""Changing an event schema: anything in a draft, additions once it was active, nothing when it is archived."""

import pytest
from msgspec.structs import replace

from tallybook.core.errors import Conflict
from tallybook.core.event_schema import (
    AttributeDefinition,
    Dependency,
    DimensionDefinition,
    EnrichedField,
    Enrichments,
    EnrichmentType,
    EventSchema,
    FieldKind,
    SchemaStatus,
)
from tallybook.core.schema_change import SchemaChanges, changed_schema

KM = EnrichedField(name="km", kind=FieldKind.ATTRIBUTE, enrichment_type=EnrichmentType.VALUE, value="1", order=1)
RATE = Dependency(key="setting.user.rate", name="rate")
DRAFT = EventSchema(
    name="rides",
    version=3,
    status=SchemaStatus.DRAFT,
    description="old",
    attributes=(AttributeDefinition(name="distance", default_unit="km"), AttributeDefinition(name="tip")),
    dimensions=(DimensionDefinition(name="city"),),
    enrichments=Enrichments(fields=(KM,), dependencies=(RATE,)),
    filter_fields=("city",),
    event_id_template="{accountId}",
)
ACTIVE, INACTIVE = (replace(DRAFT, status=status) for status in (SchemaStatus.ACTIVE, SchemaStatus.INACTIVE))
WEIGHT, COUNTRY = AttributeDefinition(name="weight", default_unit="kg"), DimensionDefinition(name="country")


def test_draft_is_replaced_by_what_is_given():
    """What is not given stays, an empty text takes away, and the version stays the same."""
    changes = SchemaChanges(description="", attributes=(WEIGHT,), enrichments=Enrichments(), event_id_template="")
    assert changed_schema(DRAFT, changes) == replace(
        DRAFT, description=None, attributes=(WEIGHT,), enrichments=Enrichments(), event_id_template=None
    )


@pytest.mark.parametrize("current", [ACTIVE, INACTIVE])
def test_schema_that_was_active_takes_more(current: EventSchema):
    """New fields join the old ones in a new version; old ones may be repeated, their unit left out."""
    changes = SchemaChanges(
        description="new",
        attributes=(AttributeDefinition(name="tip"), WEIGHT, AttributeDefinition(name="distance")),
        dimensions=(COUNTRY,),
        enrichments=Enrichments(fields=(KM, replace(KM, kind=FieldKind.DIMENSION))),
        filter_fields=("country", "city"),
        event_id_template="{accountId}",
    )
    assert changed_schema(current, changes) == replace(
        current,
        version=4,
        description="new",
        attributes=(*DRAFT.attributes, WEIGHT),
        dimensions=(*DRAFT.dimensions, COUNTRY),
        enrichments=Enrichments(fields=(KM, replace(KM, kind=FieldKind.DIMENSION)), dependencies=(RATE,)),
        filter_fields=("city", "country"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        SchemaChanges(attributes=(AttributeDefinition(name="distance", default_unit="mi"),)),
        SchemaChanges(attributes=(AttributeDefinition(name="tip", default_unit="USD"),)),
        SchemaChanges(enrichments=Enrichments(fields=(replace(KM, value="2"),))),
        SchemaChanges(enrichments=Enrichments(fields=(), dependencies=(replace(RATE, key="setting.user.other"),))),
        SchemaChanges(event_id_template="{timestamp}"),
        SchemaChanges(event_id_template=""),
    ],
)
def test_what_events_were_metered_by_stays(changes: SchemaChanges):
    """Another unit, rule, setting or template would change the meaning of what is there."""
    for current in (ACTIVE, INACTIVE):
        with pytest.raises(Conflict):
            changed_schema(current, changes)
    assert changed_schema(DRAFT, changes) != DRAFT


def test_change_that_changes_nothing_makes_no_version():
    """Sending the same again is harmless."""
    changes = SchemaChanges(description="old", attributes=DRAFT.attributes, filter_fields=("city",))
    for current in (DRAFT, ACTIVE, INACTIVE):
        assert changed_schema(current, changes) == current


def test_archived_schema_stays_as_it_is():
    """Not even its description changes."""
    with pytest.raises(Conflict):
        changed_schema(replace(DRAFT, status=SchemaStatus.ARCHIVED), SchemaChanges(description="x"))
