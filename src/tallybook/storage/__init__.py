"""Where bytes rest. `interfaces.py` states the guarantees, the other modules keep them; drivers' exceptions never leave
this folder.
"""
