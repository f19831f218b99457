"""The pure part: no input or output, no clock, no randomness, no logging.

Imports only the standard library, msgspec and lower modules of this folder.
"""
