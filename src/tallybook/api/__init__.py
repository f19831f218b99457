"""The HTTP edge: authenticate, bound, decode, call a flow, encode. No rules live here."""
