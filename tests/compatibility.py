"""How the served OpenAPI document compares with the interface's own, operation by operation.

Two shapes that meet at several places are compared once. Compared are parameters, fields, what is required, types,
listed values, limits that both state, and statuses; what a document does not say (which rules, which order) is compared
by the tests of the routes.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

import msgspec
from contract import Document, Operation, OperationName, Schema, operations, schema

NOT_SUPPORTED = "Not supported"
VALUES_NAMED_MAX = 8


class Verdict(IntEnum):
    """How an operation compares, the worst that was found in it."""

    SAME = 0
    WIDER = 1
    LESS = 2
    NARROWER = 3

    @property
    def word(self) -> str:
        return "sends less" if self is Verdict.LESS else self.name.lower()


class Difference(msgspec.Struct, frozen=True):
    """What differs at one place: `verdict` says to whose disadvantage."""

    verdict: Verdict
    place: str
    text: str


class Comparison(msgspec.Struct):
    """What differs in one operation by itself, and the pairs of shapes that it uses."""

    ours: Operation
    theirs: Operation
    differences: list[Difference] = []
    pairs: list["Pair"] = []


class Pair(msgspec.Struct, frozen=True):
    """A shape of ours against one of the interface's, as it is sent to us or by us."""

    ours: str
    theirs: str
    sent_to_us: bool


class Generation:
    """The served operations against one document."""

    def __init__(self, served: Document, document: Document) -> None:
        self._served = operations(served)
        self._demanded = operations(document)
        self.shapes: dict[Pair, list[Difference]] = {}
        self._uses: dict[Pair, list[Pair]] = {}
        self.compared = {
            name: self._operation(ours, self._demanded[name])
            for name, ours in self._served.items()
            if name in self._demanded
        }

    @property
    def missing(self) -> list[Operation]:
        """What is not there, in the document's order."""
        return [operation for name, operation in self._demanded.items() if name not in self._served]

    @property
    def size(self) -> int:
        """How many operations the document has."""
        return len(self._demanded)

    def verdict(self, name: OperationName) -> Verdict | None:
        """How an operation compares with everything it uses; None when the document does not have it."""
        if name not in self.compared:
            return None
        comparison = self.compared[name]
        found = [*comparison.differences, *(each for pair in self._reached(comparison) for each in self.shapes[pair])]
        return max((each.verdict for each in found), default=Verdict.SAME)

    def _reached(self, comparison: Comparison) -> set[Pair]:
        reached: set[Pair] = set()
        ahead = list(comparison.pairs)
        while ahead:
            pair = ahead.pop()
            if pair not in reached:
                reached.add(pair)
                ahead += self._uses[pair]
        return reached

    # ---- one operation -------------------------------------------------------------------------------------------

    def _operation(self, ours: Operation, theirs: Operation) -> Comparison:
        comparison = Comparison(ours, theirs)
        comparison.differences += _operation_ids(ours, theirs)
        comparison.differences += _statuses(ours, theirs)
        for place, our_schema, their_schema, sent_to_us in _contents(ours, theirs):
            walk = _Walk(self, ours.document, theirs.document, sent_to_us=sent_to_us)
            walk.values(our_schema, their_schema, place)
            comparison.differences += walk.differences
            comparison.pairs += walk.pairs
        comparison.differences += _parameters(ours, theirs)
        return comparison

    def compare_shapes(self, pair: Pair, walk: "_Walk", ours: Schema, theirs: Schema) -> None:
        """Compare a pair of named shapes, unless that was done."""
        if pair in self.shapes:
            return
        self.shapes[pair] = []
        self._uses[pair] = []
        inner = _Walk(self, walk.our_document, walk.their_document, sent_to_us=walk.sent_to_us)
        inner.contents(ours, theirs, "")
        self.shapes[pair] += inner.differences
        self._uses[pair] += inner.pairs


def _operation_ids(ours: Operation, theirs: Operation) -> Iterator[Difference]:
    if theirs.operation_id not in (None, ours.operation_id):
        yield Difference(Verdict.NARROWER, "", f"is called `{theirs.operation_id}` there")


def _statuses(ours: Operation, theirs: Operation) -> Iterator[Difference]:
    for status in sorted(theirs.statuses - ours.statuses - {"default"}):
        yield Difference(Verdict.NARROWER, "", f"never answers {status}")
    for status in sorted(status for status in ours.statuses - theirs.statuses if status < "4"):
        yield Difference(Verdict.WIDER, "", f"may answer {status}")


def _contents(ours: Operation, theirs: Operation) -> Iterator[tuple[str, Any, Any, bool]]:
    if ours.body is not None and theirs.body is not None:
        yield "body", ours.body, theirs.body, True
    for status in sorted(ours.answers.keys() & theirs.answers.keys()):
        if ours.answers[status] is not None and theirs.answers[status] is not None:
            yield "answer", ours.answers[status], theirs.answers[status], False


def _parameters(ours: Operation, theirs: Operation) -> Iterator[Difference]:
    yield from _bodies(ours, theirs)
    for name in sorted(theirs.parameters.keys() - ours.parameters.keys()):
        yield Difference(Verdict.NARROWER, f"?{name}", "is refused")
    for name in sorted(ours.parameters.keys() - theirs.parameters.keys()):
        yield Difference(Verdict.WIDER, f"?{name}", "is taken as well")
    for name in sorted(ours.parameters.keys() & theirs.parameters.keys()):
        mine, other = ours.parameters[name], theirs.parameters[name]
        if mine.get("required") and not other.get("required"):
            yield Difference(Verdict.NARROWER, f"?{name}", "must be given")
        walk = _Walk(None, ours.document, theirs.document, sent_to_us=True)
        walk.values(_parameter(mine), _parameter(other), f"?{name}")
        yield from walk.differences


def _bodies(ours: Operation, theirs: Operation) -> Iterator[Difference]:
    if theirs.body is None and ours.body is not None:
        verdict = Verdict.NARROWER if ours.body_required else Verdict.WIDER
        yield Difference(verdict, "body", "must be there" if ours.body_required else "may be there")
    if theirs.body is not None and ours.body is None:
        yield Difference(Verdict.NARROWER, "body", "is not read")


# ---- two schemas -------------------------------------------------------------------------------------------------


class _Walk:
    """Goes through two schemas side by side, as far as the next shapes that have a name."""

    def __init__(
        self, of: Generation | None, our_document: Document, their_document: Document, *, sent_to_us: bool
    ) -> None:
        self._of = of
        self.our_document = our_document
        self.their_document = their_document
        self.sent_to_us = sent_to_us
        self.differences: list[Difference] = []
        self.pairs: list[Pair] = []

    def values(self, ours: Mapping[str, Any], theirs: Mapping[str, Any], place: str) -> None:
        """Compare what stands at a place; shapes with names on both sides are noted, and compared once."""
        mine, other = schema(self.our_document, ours), schema(self.their_document, theirs)
        if self._of is not None and mine.name and mine.fields and other.fields:
            pair = Pair(mine.name, other.name or "without a name", self.sent_to_us)
            self.pairs.append(pair)
            self._of.compare_shapes(pair, self, mine, other)
            return
        self.contents(mine, other, place)

    def contents(self, mine: Schema, other: Schema, place: str) -> None:
        """Compare two schemas whatever their names."""
        if mine.description.startswith(NOT_SUPPORTED):
            self._note(Verdict.NARROWER, place, "is refused, unless empty")
            return
        if not self._types_meet(mine, other, place):
            return
        self._listed_values(mine, other, place)
        self._limits(mine, other, place)
        self._fields(mine, other, place)
        if mine.items is not None and other.items is not None:
            self.values(mine.items, other.items, f"{place}[]")
        if mine.rest is not None and other.rest is not None:
            self.values(mine.rest, other.rest, f"{place}{{}}")

    def _types_meet(self, mine: Schema, other: Schema, place: str) -> bool:
        if not other.types:
            return False
        if not mine.types:
            self._note(self._less, place, "is not described")
            return False
        mine_wide, other_wide = _widened(mine.types), _widened(other.types)
        if mine_wide == other_wide:
            return True
        if other_wide <= mine_wide:
            self._note(Verdict.WIDER, place, f"{self._verb} {_list(mine.types - other.types)} as well")
        elif mine_wide <= other_wide:
            self._note(self._less, place, f"{self._verb} {_list(mine.types)} only")
        else:
            self._note(Verdict.NARROWER, place, f"is {_list(mine.types)}, not {_list(other.types)}")
        return bool(mine_wide & other_wide)

    def _listed_values(self, mine: Schema, other: Schema, place: str) -> None:
        if not mine.values and not other.values:
            return
        if mine.values and not other.values:
            if self.sent_to_us:
                self._note(Verdict.NARROWER, place, f"takes {_some(mine.values)} only")
            return
        if other.values and not mine.values:
            self._note(Verdict.WIDER, place, f"may be other than {_code(other.values)}")
            return
        if less := other.values - mine.values:
            self._note(self._less, place, f"{self._never} {_code(less)}")
        if more := mine.values - other.values:
            self._note(Verdict.WIDER, place, f"{self._verb} {_code(more)} as well")

    def _limits(self, mine: Schema, other: Schema, place: str) -> None:
        for name in sorted(mine.limits.keys() & other.limits.keys()):
            limit, their_limit = mine.limits[name], other.limits[name]
            if limit == their_limit:
                continue
            tighter = limit > their_limit if name.startswith("min") else limit < their_limit
            if tighter and not self.sent_to_us:
                continue
            self._note(
                Verdict.NARROWER if tighter else Verdict.WIDER, place, f"`{name}` is {limit}, there {their_limit}"
            )

    def _fields(self, mine: Schema, other: Schema, place: str) -> None:
        if not mine.fields or not other.fields:
            return
        for name in sorted(other.fields.keys() - mine.fields.keys()):
            self._absent(name, _at(place, name), is_required=name in other.required)
        for name in sorted(mine.fields.keys() - other.fields.keys()):
            self._added(mine.fields[name], _at(place, name), is_required=name in mine.required)
        for name in sorted(mine.fields.keys() & other.fields.keys()):
            self._requirement(_at(place, name), mine=name in mine.required, other=name in other.required)
            self.values(mine.fields[name], other.fields[name], _at(place, name))

    def _absent(self, name: str, place: str, *, is_required: bool) -> None:
        if self.sent_to_us:
            self._note(Verdict.NARROWER, place, "is refused")
        else:
            verdict = Verdict.NARROWER if is_required else Verdict.LESS
            self._note(verdict, place, "is never sent, but required there" if is_required else "is never sent")

    def _added(self, written: Mapping[str, Any], place: str, *, is_required: bool) -> None:
        described = schema(self.our_document, written).description
        if self.sent_to_us and is_required:
            self._note(Verdict.NARROWER, place, "must be given, and is unknown there")
        elif not described.startswith(NOT_SUPPORTED):
            self._note(Verdict.WIDER, place, "is taken as well" if self.sent_to_us else "is sent as well")

    def _requirement(self, place: str, *, mine: bool, other: bool) -> None:
        if mine == other:
            return
        if self.sent_to_us:
            self._note(
                *((Verdict.NARROWER, place, "must be given") if mine else (Verdict.WIDER, place, "may be left out"))
            )
        elif other:
            self._note(Verdict.NARROWER, place, "may be absent, but is required there")

    @property
    def _verb(self) -> str:
        return "takes" if self.sent_to_us else "sends"

    @property
    def _never(self) -> str:
        return "refuses" if self.sent_to_us else "never sends"

    @property
    def _less(self) -> Verdict:
        """What it is to know fewer values: a value that we refuse is missed, one that we never send is not."""
        return Verdict.NARROWER if self.sent_to_us else Verdict.LESS

    def _note(self, verdict: Verdict, place: str, text: str) -> None:
        self.differences.append(Difference(verdict, place, text))


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _widened(types: frozenset[str]) -> frozenset[str]:
    return types | {"integer"} if "number" in types else types


def _parameter(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a query parameter; the interface calls page sizes and versions numbers, but means whole ones."""
    found = written.get("schema", {})
    return {**found, "type": "integer"} if found.get("type") == "number" else found


def _list(names: frozenset[str]) -> str:
    return " or ".join(sorted(names)) or "nothing"


def _some(values: frozenset[str]) -> str:
    return _code(values) if len(values) <= VALUES_NAMED_MAX else f"the {len(values)} values that are listed"


def _code(values: frozenset[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values))
