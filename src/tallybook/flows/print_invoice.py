"""Printing invoices: from the texts on a page to a PDF file. The same texts, image and fonts make the same bytes.

The texts reach the typesetter as data, never as markup, so no name can become one of its commands.
"""

from datetime import datetime
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Literal

import msgspec

from tallybook import telemetry
from tallybook.core.errors import Busy
from tallybook.core.invoice import Invoice
from tallybook.core.invoice_paper import InvoicePaper, invoice_paper
from tallybook.core.letterhead import Letterhead
from tallybook.storage import accounts, settings
from tallybook.storage.database import Database

if TYPE_CHECKING:
    import typst

TEMPLATE = Path(__file__).with_name("invoice.typ")
WAITING_MAX = 8  # threads of a process that print or wait to; others must stay free for other requests
_ARCHIVABLE: Literal["a-2b"] = "a-2b"  # PDF/A: bookkeepers keep invoices for ten years


class Press:
    """Makes PDF files, one at a time in a process: a page takes hundredths of a second, and all of a core."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()
        self._places = BoundedSemaphore(WAITING_MAX)
        self._compiler: typst.Compiler | None = None

    def invoice_pdf(self, database: Database, organisation_id: str, invoice: Invoice, *, working: bool) -> bytes:
        """The invoice as a PDF file on its organisation's paper. Raises `Busy` when many are waiting already."""
        letterhead = letterhead_of(database, organisation_id)
        paper = invoice_paper(invoice, letterhead, working=working)
        return self.pdf(paper, letterhead.logo, dated=invoice.computed_at)

    def pdf(self, paper: InvoicePaper, logo: bytes | None, *, dated: datetime) -> bytes:
        """The paper as a PDF file that says it was made at `dated`. Raises `Busy`."""
        inputs = {
            "paper": msgspec.json.encode(paper).decode(),
            "logo": msgspec.json.encode(list(logo or b"")).decode(),
        }
        if not self._places.acquire(blocking=False):
            raise Busy("many invoices are being printed; ask for this one again", code="PRINTING_BUSY")
        try:
            with self._one_at_a_time:
                return self._printed(inputs, dated.replace(microsecond=0))  # the format knows seconds
        finally:
            self._places.release()

    def _printed(self, inputs: dict[str, str], dated: datetime) -> bytes:
        import typst  # it takes 80 MB on the disk and some memory, and most processes never print

        if self._compiler is None:
            self._compiler = typst.Compiler(TEMPLATE, root=TEMPLATE.parent, font_paths=typst.Fonts())
        try:
            return _bytes(
                self._compiler.compile(sys_inputs=inputs, format="pdf", timestamp=dated, pdf_standards=_ARCHIVABLE)
            )
        except typst.TypstError as error:
            if "could not be displayed" not in error.message:
                raise
            # Archivable files may not have letters that no font has. What is left of the invoice is still owed.
            telemetry.log.warning("an invoice was printed with letters missing: %s", error.message)
            telemetry.invoices_lacking_letters.inc()
            return _bytes(self._compiler.compile(sys_inputs=inputs, format="pdf", timestamp=dated))


def letterhead_of(database: Database, organisation_id: str) -> Letterhead:
    """What the organisation prints at the head and the foot of its invoices; its name, if it has chosen nothing."""
    with database.read() as connection:
        organisation = accounts.organisation_of(connection, organisation_id)
        assert organisation is not None, "whoever has an invoice is there"
        return settings.letterhead_of(connection, organisation_id, name=organisation.name)


def _bytes(compiled: bytes | list[bytes] | None) -> bytes:
    assert isinstance(compiled, bytes), "a PDF is one file"
    return compiled
