"""The numbers of an organisation's invoices: 1, 2, 3 and so on in the order in which they are issued, without a hole.

A number is taken in the transaction that issues its invoice, so one that is not issued takes none.
"""

from sqlalchemy import Connection, bindparam, insert, update

from tallybook.storage.tables import invoice_number

# Made once: each invoice takes a number.
_TAKE = (
    update(invoice_number)
    .where(invoice_number.c.organisation_id == bindparam("organisation"))
    .values(last_number=invoice_number.c.last_number + 1)
    .returning(invoice_number.c.last_number)
)


def next_number(connection: Connection, organisation_id: str) -> int:
    """Take the organisation's next number, in the transaction that uses it."""
    number = connection.execute(_TAKE, {"organisation": organisation_id}).scalar()
    if number is None:
        connection.execute(insert(invoice_number).values(organisation_id=organisation_id, last_number=1))
        return 1
    return int(number)
