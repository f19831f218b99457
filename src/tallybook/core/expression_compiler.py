"""Rules become Python: one generated function for one rule, or the pieces from which a caller builds its own.

The source consists of names made here and nothing else. Every text, number and key of a rule enters it as a named
value (`SourceWriter.constant`), so no rule, however written, can become code.

There are two ways to write an operator. Inline, for operands of known kinds: fast, and where it fails it says only
that it failed. As a call of the dialect's function, which knows its place: slow, and it says where. Both give the
same values.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, assert_never, cast

from msgspec import Struct

from tallybook.core import expression_functions as functions
from tallybook.core.decimals import EXACT
from tallybook.core.errors import Invalid
from tallybook.core.expression import Rule
from tallybook.core.expression_functions import Place
from tallybook.core.expression_lookup import STEPS_OF_VISIT_MIN, Budget, find, path_of
from tallybook.core.expression_tree import Constant, Items, Kind, Node, Operand, Operation, kind_of, walked

FindVariable = Callable[[str], Operand | None]
"""What a variable's name stands for in the generated code; None if there is no such variable."""

_ELEMENT_NAME = re.compile(r"(?:[0-9]+(?:\.[0-9]+)*)?")
_FOLD_NAME = re.compile(r"(?:current|accumulator)(?:\.[0-9]+)*")

_BOOLEAN_VISITS = ("all", "some", "none")


class SourceWriter:
    """Collects the names of a piece of generated code, the values behind them, and the lines it must start with."""

    def __init__(self, *, inline: bool) -> None:
        self.inline = inline
        self._namespace: dict[str, object] = {
            "__builtins__": {},
            "exact_add": EXACT.add,
            "exact_subtract": EXACT.subtract,
            "exact_multiply": EXACT.multiply,
            "truthy": functions.truthy,
            "spread": spread,
            "path_of": path_of,
            "new_budget": Budget,
        }
        self._names = 0

    def new_name(self, prefix: str) -> str:
        """A name that no other piece of this code has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def constant(self, value: object) -> str:
        """Give `value` a name in the generated code."""
        name = self.new_name("c")
        self._namespace[name] = value
        return name

    def function(self, *, parameters: Sequence[str], body: Sequence[str]) -> Callable[..., Any]:
        """Make the function from its body's lines, indented relative to the body."""
        source = "\n".join([f"def generated({', '.join(parameters)}):", *(f"    {line}" for line in body), ""])
        namespace = dict(self._namespace)
        # The source holds names made here and no text of a rule, and it runs without builtins.
        exec(compile(source, "<generated from rules>", "exec"), namespace)  # noqa: S102  # not a rule's text, see above
        return cast("Callable[..., Any]", namespace["generated"])


class Written(Struct, frozen=True, kw_only=True):
    """A rule as source: lines to run before each evaluation, then one expression of the given kind."""

    before: tuple[str, ...]
    value: Operand


class _Scope(Struct, frozen=True, kw_only=True):
    """Where variables are looked up: in the value named `data`, or, if given, by `find_variable` or by a pattern."""

    data: str
    budget: str
    find_variable: FindVariable | None = None
    names: re.Pattern[str] | None = None


def compile_rule(rule: Rule) -> Callable[[object], object]:
    """Compile a rule over any data: JSON values whose numbers are `Decimal` or `int`.

    The function raises `ExpressionError` with the operator and its place; it never changes the data.
    """
    writer = SourceWriter(inline=False)
    written = write_rule(rule, writer, data="data")
    finished = (
        f"{writer.constant(functions.bounded_result)}({writer.constant(rule.root.place)}, {written.value.source})"
    )
    return writer.function(parameters=["data"], body=[*written.before, f"return {finished}"])


def write_rule(rule: Rule, writer: SourceWriter, *, data: str, find_variable: FindVariable | None = None) -> Written:
    """Write a rule as Python source, for a function that has a variable named by `data`.

    With `find_variable` the rule may use only the variables it knows, by names written out: an unknown or a
    computed one is `Invalid`. `data` is then used by `missing` and `missing_some` alone.
    """
    budget = writer.new_name("b")
    value = _RuleWriter(rule, writer).node(rule.root, _Scope(data=data, budget=budget, find_variable=find_variable))
    before = (f"{budget} = new_budget()",) if _visits(rule) else ()
    return Written(before=before, value=value)


def write_condition(value: Operand) -> str:
    """Source that Python takes as true exactly when JSON Logic takes `value` as true."""
    return f"truthy({value.source})" if value.kind is Kind.ANY else value.source


def uses_data(node: Node) -> bool:
    """Say whether a rule with bound variables still needs its `data`."""
    return any(isinstance(each, Operation) and each.operator.startswith("missing") for each in walked(node))


def spread(function: Callable[..., object], place: Place, operand: object) -> object:
    """Call an operator whose only operand may be a list of its operands."""
    return function(place, *operand) if isinstance(operand, list) else function(place, operand)


def _visits(rule: Rule) -> bool:
    return any(isinstance(each, Operation) and each.operator in rule.dialect.visits for each in walked(rule.root))


class _RuleWriter:
    """Writes the nodes of one rule."""

    def __init__(self, rule: Rule, writer: SourceWriter) -> None:
        self._dialect = rule.dialect
        self._writer = writer

    def node(self, node: Node, scope: _Scope) -> Operand:
        match node:
            case Constant():
                return Operand(self._writer.constant(node.value), kind_of(node), node)
            case Items():
                items = ", ".join(self.node(item, scope).source for item in node.items)
                return Operand(f"[{items}]", Kind.ANY, node)
            case Operation():
                return self._operation(node, scope)
            case _:
                assert_never(node)

    def _operation(self, node: Operation, scope: _Scope) -> Operand:
        match node.operator:
            case operator if operator in self._dialect.operators:
                return self._call(node, scope)
            case "var":
                return self._variable(node, scope)
            case "if" | "?:":
                return self._choice(node, scope)
            case "and" | "or":
                return self._junction(node, scope)
            case "!" | "!!":
                return self._truth(node, scope)
            case "missing" | "missing_some":
                return self._missing(node, scope)
            case operator if operator in self._dialect.visits:
                return self._visit(node, scope)
            case _:
                raise AssertionError(f"no dialect has the form {node.operator}")

    # ---- plain operators ---------------------------------------------------------------------------------------

    def _call(self, node: Operation, scope: _Scope) -> Operand:
        operator = self._dialect.operators[node.operator]
        operands = [self.node(operand, scope) for operand in node.operands]
        if self._writer.inline and operator.inline is not None:
            source = operator.inline(operands, self._writer.constant)
            if source is not None:
                return Operand(source, operator.result)
        sources = [each.source for each in operands]
        if self._dialect.lone_list_spreads and len(operands) == 1 and operands[0].kind is Kind.ANY:
            function, place = self._writer.constant(operator.function), self._writer.constant(node.place)
            return Operand(f"spread({function}, {place}, {sources[0]})", operator.result)
        return Operand(self._called(operator.function, node.place, *sources), operator.result)

    def _called(self, function: Callable[..., object], place: Place, *sources: str) -> str:
        return f"{self._writer.constant(function)}({', '.join([self._writer.constant(place), *sources])})"

    # ---- choosing ----------------------------------------------------------------------------------------------

    def _choice(self, node: Operation, scope: _Scope) -> Operand:
        """`if`: pairs of condition and value, then perhaps the value when none holds; null when nothing is left."""
        written = [self.node(operand, scope) for operand in node.operands]
        pairs, rest = written[: len(written) // 2 * 2], written[len(written) // 2 * 2 :]
        last = rest[0] if rest else Operand(self._writer.constant(None), Kind.ANY)
        source = "".join(
            f"{value.source} if {write_condition(condition)} else "
            for condition, value in zip(pairs[::2], pairs[1::2], strict=True)
        )
        return Operand(f"({source}{last.source})", _common_kind([*pairs[1::2], last]))

    def _junction(self, node: Operation, scope: _Scope) -> Operand:
        """`and`, `or`: the first operand that decides, else the last one."""
        operands = [self.node(operand, scope) for operand in node.operands]
        kind = _common_kind(operands)
        if kind is not Kind.ANY:
            return Operand(f"({f' {node.operator} '.join(operand.source for operand in operands)})", kind)
        source = "".join(self._decided(node.operator, operand) for operand in operands[:-1])
        return Operand(f"({source}{operands[-1].source})", kind)

    def _decided(self, operator: str, operand: Operand) -> str:
        held = self._writer.new_name("t")
        condition = f"truthy({held} := {operand.source})"
        return f"{held} if {condition if operator == 'or' else f'not {condition}'} else "

    def _truth(self, node: Operation, scope: _Scope) -> Operand:
        condition = write_condition(self.node(node.operands[0], scope))
        return Operand(f"(not {condition})" if node.operator == "!" else f"(not not {condition})", Kind.BOOLEAN)

    # ---- variables ---------------------------------------------------------------------------------------------

    def _variable(self, node: Operation, scope: _Scope) -> Operand:
        if scope.find_variable is not None:
            return self._bound_variable(node, scope, scope.find_variable)
        if scope.names is not None:
            _check_element_name(node, scope.names)
        if self._dialect.find is find and _names_everything(node):
            return Operand(scope.data, Kind.ANY)  # what `find` would return
        path = self._path(node, scope)
        if len(node.operands) < 2:
            return Operand(self._looked_up(scope, path, self._writer.constant(None)), Kind.ANY)
        if not self._dialect.default_sees_data:
            default = self.node(node.operands[1], _Scope(data=self._writer.constant(None), budget=scope.budget))
            return Operand(self._looked_up(scope, path, default.source), Kind.ANY)
        held, nowhere = self._writer.new_name("t"), self._writer.constant(object())
        found = f"({held} := {self._looked_up(scope, path, nowhere)})"
        default = self.node(node.operands[1], scope)
        return Operand(f"({default.source} if {found} is {nowhere} else {held})", Kind.ANY)

    def _looked_up(self, scope: _Scope, path: str, default: str) -> str:
        return f"{self._writer.constant(self._dialect.find)}({scope.data}, {path}, {default})"

    def _path(self, node: Operation, scope: _Scope) -> str:
        name = node.operands[0] if node.operands else Constant(None, node.place)
        if isinstance(name, Constant) and not isinstance(name.value, bool):
            return self._writer.constant(path_of(node.place, name.value))
        return f"path_of({self._writer.constant(node.place)}, {self.node(name, scope).source})"

    def _bound_variable(self, node: Operation, scope: _Scope, find_variable: FindVariable) -> Operand:
        name = _literal_name(node, node.operands[0] if node.operands else None)
        found = find_variable(name)
        if found is None:
            raise _unknown_variable(node, name)
        for default in node.operands[1:]:
            self.node(default, scope)  # never needed, but checked like everything else
        return found

    def _missing(self, node: Operation, scope: _Scope) -> Operand:
        if scope.find_variable is not None or scope.names is not None:
            _check_missing_names(node, scope)
        sources = [self.node(operand, scope).source for operand in node.operands]
        place = self._writer.constant(node.place)
        function = self._dialect.missing if node.operator == "missing" else self._dialect.missing_some
        return Operand(f"{self._writer.constant(function)}({', '.join([place, scope.data, *sources])})", Kind.ANY)

    # ---- visiting every element --------------------------------------------------------------------------------

    def _visit(self, node: Operation, scope: _Scope) -> Operand:
        element = self._writer.new_name("e")
        bound = scope.find_variable is not None or scope.names is not None
        pattern = _FOLD_NAME if node.operator == "reduce" else _ELEMENT_NAME
        inner = _Scope(data=element, budget=scope.budget, names=pattern if bound else None)
        items = self.node(node.operands[0], scope).source
        visit = f"lambda {element}: {self.node(node.operands[1], inner).source}"
        initial = [self.node(operand, scope).source for operand in node.operands[2:]]
        if node.operator == "reduce" and not initial:
            initial = [self._writer.constant(None)]
        steps = self._writer.constant(max(len(walked(node.operands[1])), STEPS_OF_VISIT_MIN))
        visited = [items, visit, *initial, steps, scope.budget]
        source = self._called(self._dialect.visits[node.operator], node.place, *visited)
        return Operand(source, Kind.BOOLEAN if node.operator in _BOOLEAN_VISITS else Kind.ANY)


# ---- what can be known without values --------------------------------------------------------------------------


def _common_kind(operands: Sequence[Operand]) -> Kind:
    kinds = {operand.kind for operand in operands}
    return kinds.pop() if len(kinds) == 1 else Kind.ANY


def _names_everything(node: Operation) -> bool:
    return not node.operands or (isinstance(node.operands[0], Constant) and node.operands[0].value in (None, ""))


def _literal_name(node: Operation, name: Node | None) -> str:
    match name:
        case Constant(value=str() as text):
            return text
        case Constant(value=Decimal() as index):
            return functions.text_of(node.place, index)
        case None | Constant(value=None):
            return ""
        case _:
            raise Invalid(f"{node.place.path}: a variable's name must be written out, not computed")


def _unknown_variable(node: Operation, name: str) -> Invalid:
    return Invalid(f"{node.place.path}: unknown variable {name[:60]!r}")


def _check_element_name(node: Operation, names: re.Pattern[str]) -> None:
    name = _literal_name(node, node.operands[0] if node.operands else None)
    if not names.fullmatch(name):
        raise Invalid(f"{node.place.path}: unknown variable {name[:60]!r}; here only the element can be seen")


def _check_missing_names(node: Operation, scope: _Scope) -> None:
    operands = node.operands if node.operator == "missing" else node.operands[1:]
    for operand in operands:
        for name in operand.items if isinstance(operand, Items) else [operand]:
            text = _literal_name(node, name)
            if scope.find_variable is None or scope.find_variable(text) is None:
                raise _unknown_variable(node, text)
