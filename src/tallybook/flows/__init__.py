"""The verbs: what Tallybook does with events, definitions and money. Plain synchronous code over the storage
interfaces.
"""
