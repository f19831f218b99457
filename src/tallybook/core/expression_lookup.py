"""How an expression looks into its data, and how it visits every element of a list.

The functions here are the `exact` dialect's, but for the ones that both dialects share; see `expression_togai`.
"""

from collections.abc import Callable, Mapping, Sequence

from tallybook.core.expression_functions import (
    ExpressionError,
    Place,
    described,
    is_number,
    number,
    text_of,
    truthy,
)

STEPS_MAX = 10_000  # values and operators evaluated for elements of lists; some milliseconds of work
STEPS_OF_VISIT_MIN = 10  # so that one evaluation visits at most 1,000 elements, however simple the visit


class Budget:
    """What one evaluation may still spend on visits; nested ones would otherwise multiply without end."""

    __slots__ = ("steps_left",)

    def __init__(self) -> None:
        self.steps_left = STEPS_MAX

    def spend(self, place: Place, elements: int, steps: int) -> None:
        """Take off a visit of `elements`, each of which takes so many steps."""
        self.steps_left -= elements * steps
        if self.steps_left < 0:
            raise ExpressionError(place, f"visits too many elements: more than {STEPS_MAX} steps in all")


# ---- looking things up -----------------------------------------------------------------------------------------


def path_of(place: Place, name: object) -> tuple[str, ...]:
    """Split a variable's name into steps; none at all means the whole data."""
    if name is None or name == "":
        return ()
    if isinstance(name, str) or is_number(name):
        return tuple(text_of(place, name).split("."))
    raise ExpressionError(place, f"a variable's name is text, not {described(name)}")


def find(data: object, path: tuple[str, ...], default: object) -> object:
    """Follow `path` through objects and lists; `default` where a step leads nowhere."""
    for step in path:
        if isinstance(data, Mapping) and step in data:
            data = data[step]
        elif isinstance(data, list) and _is_index(step) and int(step) < len(data):
            data = data[int(step)]
        else:
            return default
    return data


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10


def find_named(place: Place, data: object, name: object, default: object) -> object:
    """As `find`, for a name that is only known when the rule is evaluated."""
    return find(data, path_of(place, name), default)


def missing(place: Place, data: object, *names: object) -> list[object]:
    """List the names (operands, or the items of the first if it is a list) that lead to nothing, null or ""."""
    wanted = names[0] if names and isinstance(names[0], list) else names
    return [name for name in wanted if find_named(place, data, name, None) in (None, "")]


def missing_some(place: Place, data: object, needed: object, names: object) -> list[object]:
    """List the missing names, or nothing when at least `needed` of them are there."""
    wanted = names if isinstance(names, list) else [names]
    absent = missing(place, data, wanted)
    return [] if len(wanted) - len(absent) >= number(place, needed) else absent


# ---- visiting every element ------------------------------------------------------------------------------------

Visit = Callable[[object], object]
"""Evaluate the second operand for an element, in as many steps as it has values and operators, and some at least."""


def map_items(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> list[object]:
    """Visit every element, keeping the results; nothing for what is not a list."""
    return [visit(item) for item in _elements(place, items, steps, budget)]


def filter_items(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> list[object]:
    """Keep the elements whose visit is truthy; nothing for what is not a list."""
    return [item for item in _elements(place, items, steps, budget) if truthy(visit(item))]


def all_items(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether there is an element and every visit is truthy."""
    elements = _elements(place, items, steps, budget)
    return bool(elements) and all(truthy(visit(item)) for item in elements)


def some_items(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether any visit is truthy."""
    return any(truthy(visit(item)) for item in _elements(place, items, steps, budget))


def none_items(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether no visit is truthy."""
    return not some_items(place, items, visit, steps, budget)


def reduce_items(place: Place, items: object, visit: Visit, initial: object, steps: int, budget: Budget) -> object:
    """Visit `{"current": element, "accumulator": result so far}` from the first element to the last."""
    accumulator = initial
    for item in _elements(place, items, steps, budget):
        accumulator = visit({"current": item, "accumulator": accumulator})
    return accumulator


def _elements(place: Place, items: object, steps: int, budget: Budget) -> Sequence[object]:
    if not isinstance(items, list):
        return ()
    budget.spend(place, len(items), steps)
    return items
