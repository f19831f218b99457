"""What pricing rules did to an invoice, rule by rule: computed again from what the invoice is computed from."""

from datetime import datetime

from sqlalchemy import Connection

from tallybook.core.invoice_inputs import InvoiceInputs, Plans, plans_named
from tallybook.core.invoice_lines import rules_applied
from tallybook.core.ruled_cards import RuleLog
from tallybook.flows.bill import Billing, drawn_up_of_id
from tallybook.flows.define_price_plans import found_plan
from tallybook.storage import ledger
from tallybook.storage.database import Database


def explain_rules(database: Database, organisation_id: str, invoice_id: str, *, now: datetime) -> list[RuleLog]:
    """A log for each rule in the order in which they were applied; of a draft, as of `now`.

    The rules of the billed cycle come first, then those of what is charged in advance. Raises `NotFound`.
    """
    with database.read() as connection:
        inputs = _inputs_of(connection, organisation_id, invoice_id, now)
        if inputs is not None:
            return _logs(inputs, _plans_of(connection, organisation_id, inputs))
    Billing(database).invoice(organisation_id, invoice_id, now=now)  # raises `NotFound`, or it has no rules
    return []


def _inputs_of(connection: Connection, organisation_id: str, invoice_id: str, now: datetime) -> InvoiceInputs | None:
    stored = ledger.inputs(connection, organisation_id, invoice_id)
    if stored is not None:
        return stored
    drawn_up = drawn_up_of_id(connection, organisation_id, invoice_id, now)
    return None if drawn_up is None else drawn_up[1]


def _plans_of(connection: Connection, organisation_id: str, inputs: InvoiceInputs) -> Plans:
    return {name: found_plan(connection, organisation_id, *name) for name in plans_named(inputs)}


def _logs(inputs: InvoiceInputs, plans: Plans) -> list[RuleLog]:
    return [log for ruled in rules_applied(inputs, plans) for log in ruled.logs]
