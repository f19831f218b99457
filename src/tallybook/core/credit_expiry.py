"""Until when credit is that a rate card sells, and whether the card says so in a way that can be followed."""

from datetime import date, datetime, time

from tallybook.core.credit import PRIORITY_MAX, check_entity_ids
from tallybook.core.errors import Invalid
from tallybook.core.expression_dates import span_or_none
from tallybook.core.moment import NANOSECONDS_OF_UNIT, Moment
from tallybook.core.period import FOREVER
from tallybook.core.rate_card import CreditExpiry, GrantDetails

_NANOSECONDS_PER_DAY = NANOSECONDS_OF_UNIT["DAYS"]
_A_DAY = date(2000, 1, 1)  # any will do to see whether a duration is one


def expiry_of(details: GrantDetails, start: date, cycle_end: date) -> date | None:
    """The day before which credit ends that begins on `start`, in a cycle with that end; None is never."""
    match details.expiry:
        case CreditExpiry.NO_EXPIRY:
            return None
        case CreditExpiry.PRICING_CYCLE:
            return cycle_end
        case CreditExpiry.CUSTOM:
            assert details.expiry_duration is not None, "check_grant_details lets no such card in"
            return day_after(start, details.expiry_duration) or FOREVER


def day_after(start: date, duration: str) -> date | None:
    """The day that lies so much later; None for what is no duration of whole days, or beyond the calendar."""
    span = span_or_none(duration)
    if span is None or span.nanoseconds % _NANOSECONDS_PER_DAY:
        return None
    moment = Moment(local=datetime.combine(start, time()), nanosecond=0, offset_s=0)
    moved = moment.moved(years=span.years, months=span.months, nanoseconds=span.nanoseconds)
    return None if moved is None else min(moved.local.date(), FOREVER)


def check_grant_details(details: GrantDetails, where: str) -> None:
    """Refuse details of which no credit could be made. Raises `Invalid`, naming the field."""
    if not 0 <= details.priority <= PRIORITY_MAX:
        raise Invalid(f"{where}.priority: must be 0 to {PRIORITY_MAX}; the lowest is used first")
    check_entity_ids(details.applicable_entity_ids, f"{where}.applicableEntityIds")
    if details.expiry is not CreditExpiry.CUSTOM:
        if details.expiry_duration is not None:
            raise Invalid(f"{where}.expiryDuration: only for expiryType CUSTOM")
        return
    until = None if details.expiry_duration is None else day_after(_A_DAY, details.expiry_duration)
    if until is None or until <= _A_DAY:
        raise Invalid(f"{where}.expiryDuration: expiryType CUSTOM needs one day or more, such as P90D, P3M or P1Y")
