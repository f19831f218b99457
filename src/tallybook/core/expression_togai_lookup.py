"""How the `togai` dialect looks variables up and visits the elements of lists: as Togai's own engine does."""

from collections.abc import Mapping
from decimal import Decimal

from tallybook.core.expression_functions import ExpressionError, Place, described, truthy
from tallybook.core.expression_lookup import Budget, Visit, filter_items, find, some_items


def found_or_default(data: object, path: tuple[str, ...], default: object) -> object:
    """Look a variable up; null is as good as nothing there."""
    found = find(data, path, None)
    if isinstance(found, int) and not isinstance(found, bool):
        return Decimal(found)
    return default if found is None else found


def missing(_place: Place, data: object, *operands: object) -> list[object]:
    """List the names, each once, that lead to nothing, or to an object; null is enough. What is no text comes last."""
    names = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    if not isinstance(data, Mapping):
        return list(names)
    texts = dict.fromkeys(name for name in names if isinstance(name, str) and not _is_leaf(data, name))
    return [*texts, *(name for name in names if not isinstance(name, str))]


def missing_some(place: Place, data: object, *operands: object) -> list[object]:
    """List the missing names, or nothing when at least `needed` of the names are there."""
    spread = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    if len(spread) < 2 or not isinstance(spread[0], Decimal) or not isinstance(spread[1], list):
        raise ExpressionError(place, "needs a number and a list of names")
    needed, names = int(spread[0]), spread[1]
    if not isinstance(data, Mapping):
        return list(names) if needed > 0 else []
    absent = missing(place, data, names)
    return [] if len(names) - len(absent) >= needed else absent


def _is_leaf(data: object, name: str) -> bool:
    for step in name.split("."):
        if not isinstance(data, Mapping) or step not in data:
            return False
        data = data[step]
    return not isinstance(data, Mapping)


def filter_list(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> list[object]:
    """Keep the elements whose visit is truthy; what is not a list is an error."""
    return filter_items(place, _list(place, items), visit, steps, budget)


def all_of_list(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether there is an element and every visit is truthy; what is not a list is an error."""
    elements = _list(place, items)
    return bool(elements) and not some_items(place, elements, lambda item: not truthy(visit(item)), steps, budget)


def some_of_list(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether any visit is truthy; null has no elements, anything else that is not a list is an error."""
    return items is not None and some_items(place, _list(place, items), visit, steps, budget)


def none_of_list(place: Place, items: object, visit: Visit, steps: int, budget: Budget) -> bool:
    """Say whether no visit is truthy."""
    return not some_of_list(place, items, visit, steps, budget)


def _list(place: Place, items: object) -> list[object]:
    if not isinstance(items, list):
        raise ExpressionError(place, f"needs a list, not {described(items)}")
    return items
