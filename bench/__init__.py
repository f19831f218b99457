"""How fast Tallybook is, measured on the machine at hand: `make bench` prints one table.

Every figure is judged by a ratio of two figures of the same run, because machines differ and are shared.
"""
