"""Invoices that are paid in part, each beside this file as text. The sums stand here, done by hand.

A difference means that a customer would read or pay something else: look at it before changing the text.
"""

from datetime import UTC, datetime
from pathlib import Path

from billing_samples import use
from settling_samples import JANUARY, fund, new_database

from tallybook.core.invoice import invoice_id_for
from tallybook.core.invoice_text import invoice_text
from tallybook.flows.bill import Billing

HERE = Path(__file__).parent


def test_a_wallet_of_300_pays_a_part_of_450(tmp_path: Path) -> None:
    """Contract 3.10 [D]: 100 × 2 + 250 × 1 = 450; the wallet pays 300, and 150 are to be paid."""
    database = new_database(tmp_path)
    fund(database, "300")
    use(database, "P", "2024-01-15T00:00", "350")
    after = datetime(2024, 2, 4, tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=after, metered_through=after)
    found = Billing(database).invoice("org", invoice_id_for("org", "P", JANUARY), now=after)
    database.close()
    assert invoice_text(found) == (HERE / "paid_in_part_by_a_wallet.txt").read_text()
