"""Invoices to print, and a logo to print on them."""

import base64
import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, monthly, price_plan, usage_card

from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, UsageLine, finalised
from tallybook.core.price_plan import PricePlan
from tallybook.core.rate_card import RateCard

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ISSUED_AT = datetime(2024, 4, 3, tzinfo=UTC)
TWO_SLABS = (SlabSample("0", "2"), SlabSample("100", "1"))


def used(name: str, units: str, *, meter_id: str = "um.1") -> UsageLine:
    return UsageLine(meter_id=meter_id, meter_version=1, name=name, units=Decimal(units), event_count=3)


def billed(currency: str = "USD", *, name: str = "A Sample Customer, Lisbon") -> BilledAccount:
    return BilledAccount(
        account_id="ACC-17",
        account_name=name,
        customer_id="CUS-4",
        customer_name="A Sample Group",
        customer_email="hello@example.com",
        email="bills@example.com",
        address=Address(line1="Rua Augusta 1", postal_code="1100-053", city="Lisboa", country="PT"),
        currency=currency,
        net_term_days=30,
    )


def draft(*cards: RateCard, usage: Sequence[UsageLine] = (), currency: str = "USD", name: str = "Growth") -> Invoice:
    """What March 2024 comes to by these cards."""
    return draft_of(
        price_plan(*cards, cycle=monthly("1", grace_days=2), currencies=(currency,), name=name), usage, currency
    )


def draft_of(plan: PricePlan, usage: Sequence[UsageLine], currency: str = "USD") -> Invoice:
    return draft_invoice_of(
        billed(currency),
        organisation_id="org",
        cycle=cycle_in(plan, (date(2024, 3, 1), date(2024, 4, 1))),
        usage=usage,
        computed_at=datetime(2024, 3, 20, 8, 30, tzinfo=UTC),
    )


def issued(invoice: Invoice) -> Invoice:
    return finalised(invoice, issued_at=ISSUED_AT)


def to(invoice: Invoice, account: BilledAccount) -> Invoice:
    return msgspec.structs.replace(invoice, account=account)


def two_slabs() -> Invoice:
    """150 units: 100 × 2 + 50 × 1 = 250."""
    return issued(draft(usage_card(*TWO_SLABS, display_name="Compute hours"), usage=[used("hours", "150")]))


# ---- PNG -------------------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def header(width: int = 4, height: int = 2, bits: int = 8, colours: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced))


def pixels(width: int = 4, height: int = 2, channels: int = 3) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x20\x60\xa0\xff"[:channels] * width) * height))


def png(*chunks: bytes) -> str:
    """These chunks between the signature and the end, in base64."""
    return base64.b64encode(b"".join((SIGNATURE, *chunks, chunk(b"IEND")))).decode()


def logo(width: int = 4, height: int = 2) -> str:
    return png(header(width, height), pixels(width, height))
