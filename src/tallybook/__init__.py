"""Tallybook: usage events in, invoices out, exact and exactly once."""

__version__ = "0.1.0"
