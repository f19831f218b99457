"""The proof of an invoice: one file with all that it was computed from, so that anybody can compute it again, offline.

The file is JSON: `{"format": 1, "seal": …, "proof": …}`. The seal is the SHA-256, in hexadecimal, of the bytes of the
proof as they stand in the file, so that any changed digit is found; what a change makes of the invoice is found by
computing.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.core.errors import Invalid
from tallybook.core.event_schema import EventSchema
from tallybook.core.invoice import Invoice, InvoiceLine
from tallybook.core.invoice_inputs import InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.invoice_words import lines_of
from tallybook.core.price_plan import PricePlan
from tallybook.core.usage_meter import UsageMeter

PROOF_FORMAT = 1
EVENTS_LISTED_MAX = 10_000  # some 100 bytes each; what more there are is named by reference


class MeteredEvent(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What one event, by its id and place in the log, added to one meter in an hour counted from 1970.

    `sign` is -1 where the event was taken back. `value` is as in `core.aggregation`.
    """

    event_id: str
    position: int
    index: int
    meter_id: str
    hour: int
    units: Decimal
    sign: int = 1
    value: str | None = None


class EventsBehind(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The events behind the usage: `listed`, or where they are more than a file should hold, None.

    They are the rows of the lake (table `event`) with this organisation and account, the status
    INGESTION_COMPLETED_EVENT_METERED, an event time from midnight UTC of `start` on and before that of `end`, and a log
    position up to that of their partition in `positions`; those with an index below 0 take an event back.
    """

    organisation_id: str
    account_id: str
    start: date
    end: date
    positions: tuple[tuple[int, int], ...]
    listed: tuple[MeteredEvent, ...] | None = None

    def reaches(self, partition: int) -> int:
        """The position up to which that partition's events are meant; 0 is none."""
        return dict(self.positions).get(partition, 0)

    @property
    def end_of_log(self) -> int:
        """The last position of any partition."""
        return max((position for _, position in self.positions), default=0)


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invoice, what it was computed from, the definitions behind that, and the events behind its usage.

    `plans` are computed with. `meters` and `schemas` say by which rules events became usage.
    """

    invoice: Invoice
    inputs: InvoiceInputs
    plans: tuple[PricePlan, ...]
    meters: tuple[UsageMeter, ...] = ()
    schemas: tuple[EventSchema, ...] = ()
    events: EventsBehind | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    seal: str
    proof: msgspec.Raw


_encoder = msgspec.json.Encoder(order="deterministic")
_file = msgspec.json.Decoder(_File)
_proof = msgspec.json.Decoder(Proof)


def proof_file(proof: Proof) -> bytes:
    """The proof as a file."""
    raw = _encoder.encode(proof)
    return _encoder.encode(_File(format=PROOF_FORMAT, seal=seal_of(raw), proof=msgspec.Raw(raw))) + b"\n"


def seal_of(raw: bytes) -> str:
    """SHA-256 of the proof's bytes, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def read_proof(content: bytes) -> tuple[Proof, bool]:
    """The proof in a file, and whether its seal is unbroken. Raises `Invalid` when it cannot be read as a proof."""
    try:
        file = _file.decode(content)
        if file.format != PROOF_FORMAT:
            raise Invalid(f"the file has format {file.format}; this version reads {PROOF_FORMAT}")
        return _proof.decode(file.proof), seal_of(bytes(file.proof)) == file.seal
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"this is not the file of a proof, or it was changed: {error}") from None


# ---- checking ----------------------------------------------------------------------------------------------------


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What checking a proof found. `first_difference` is None where everything agrees.

    `events` is how many events' units were added up; None where the file only says where they are.
    """

    invoice_id: str
    total: Decimal
    currency: str
    lines: int
    usage_rows: int
    events: int | None
    first_difference: str | None

    @property
    def agrees(self) -> bool:
        """Whether the file is whole and gives the invoice."""
        return self.first_difference is None

    def in_words(self) -> str:
        """The outcome for people."""
        head = f"invoice {self.invoice_id}, total {plain_text(self.total)} {self.currency}"
        if self.first_difference is not None:
            return f"{head}\nNOT PROVED: {self.first_difference}"
        behind = "the events are named by reference" if self.events is None else f"{self.events} events add up to them"
        return f"{head}\nproved: {self.lines} lines computed again from {self.usage_rows} rows of usage; {behind}"


def check_proof(content: bytes) -> Checked:
    """Compute the invoice of a proof's file again. Raises `Invalid` when it cannot be read as a proof."""
    proof, is_sealed = read_proof(content)
    first = next(differences(proof), None)
    if first is None and not is_sealed:
        first = "the file was changed: its seal is not that of its content"
    listed = None if proof.events is None else proof.events.listed
    return Checked(
        invoice_id=proof.invoice.invoice_id,
        total=proof.invoice.total,
        currency=proof.invoice.account.currency,
        lines=sum(1 for _ in lines_of(proof.invoice.revenue)),
        usage_rows=sum(len(hours) for hours in proof.inputs.usage.values()),
        events=0 if proof.events is None else None if listed is None else len(listed),
        first_difference=first,
    )


def differences(proof: Proof) -> Iterator[str]:
    """What does not agree: computing the invoice again with what it says, and adding up the events with the usage."""
    plans = {(plan.plan_id, plan.version): plan for plan in proof.plans}
    try:
        computed = invoice_of(proof.inputs, plans, computed_at=proof.invoice.computed_at)
    except Exception as error:  # whatever in a changed file makes the computing stumble, that is the answer
        yield f"the invoice cannot be computed from the file: {type(error).__name__}: {error}"
        return
    if computed is None:
        yield "computing gives no invoice"
        return
    yield from _line_differences(proof.invoice.revenue, computed.revenue)
    yield from _other_differences(proof.invoice, computed)
    if proof.events is not None and proof.events.listed is not None:
        yield from _usage_differences(proof.events.listed, proof.inputs)


def _line_differences(said: InvoiceLine, computed: InvoiceLine) -> Iterator[str]:
    """Line by line, from the top; below a line that is another one there is nothing to compare."""
    if said.line_id != computed.line_id:
        yield f"where the invoice has the line {said.line_id}, computing gives {computed.line_id}"
        return
    for field in msgspec.structs.fields(InvoiceLine):
        one, other = getattr(said, field.name), getattr(computed, field.name)
        if field.name != "lines" and one != other:
            yield f"line {said.line_id}, {field.name}: the invoice says {_text(one)}, computing gives {_text(other)}"
    for one, other in zip(said.lines, computed.lines, strict=False):
        yield from _line_differences(one, other)
    if len(said.lines) != len(computed.lines):
        yield f"line {said.line_id}: the invoice has {len(said.lines)} lines under it, computing {len(computed.lines)}"


# What has changed with the invoice since it was computed is not computed.
_NOT_COMPUTED = frozenset(
    {"revenue", "status", "issued_at", "sequence_number", "paid_amount", "merged_into", "group", "members"}
)


def _other_differences(said: Invoice, computed: Invoice) -> Iterator[str]:
    for field in msgspec.structs.fields(Invoice):
        one, other = getattr(said, field.name), getattr(computed, field.name)
        if field.name not in _NOT_COMPUTED and one != other:
            yield f"{field.name}: the invoice says {_text(one)}, computing gives {_text(other)}"


def _usage_differences(events: Sequence[MeteredEvent], inputs: InvoiceInputs) -> Iterator[str]:
    """Events added up by meter and hour, against the usage that was priced."""
    found: dict[tuple[str, int], tuple[Decimal, int]] = {}
    for event in events:
        units, count = found.get((event.meter_id, event.hour), (ZERO, 0))
        signed = event.units if event.sign > 0 else EXACT.minus(event.units)
        found[event.meter_id, event.hour] = EXACT.add(units, signed), count + event.sign
    priced = {
        (meter_id, hour.hour): (hour.units, hour.event_count)
        for meter_id, hours in inputs.usage.items()
        for hour in hours
    }
    for place in sorted(found.keys() | priced.keys()):
        one, other = found.get(place, (ZERO, 0)), priced.get(place, (ZERO, 0))
        if one != other:
            yield (
                f"usage of meter {place[0]} in hour {place[1]} since 1970: {plain_text(other[0])} units of {other[1]} "
                f"events were priced, the events come to {plain_text(one[0])} of {one[1]}"
            )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()[:200]
