"""The demo: real events in, invoices out, on a real server, checked by a calculation that shares no code with it.

It drives the server as a user does: its commands in processes of their own, everything else through HTTP.
"""
