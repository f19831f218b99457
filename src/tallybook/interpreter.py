"""What is asked of the Python interpreter for speed."""

import gc

GARBAGE_THRESHOLD = 200_000  # objects; decoding a batch makes 5,000, none of them in a cycle


def collect_garbage_rarely() -> None:
    """Leave the objects made so far alone, and look for cycles only after very many new ones.

    Reference counts free nearly everything here, and looking for cycles takes time at every few hundred new objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
