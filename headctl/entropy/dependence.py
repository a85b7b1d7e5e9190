"""Heads that count only after certain choices of others: what is allowed, in which order they follow. Free of torch.

A head with ``active_when: {weapon: [2]}`` is a child of the head ``weapon``. The parents of a head must be categorical;
following parents upwards must come to an end.
"""

from collections.abc import Collection, Mapping

from headctl.entropy.spec import HeadSpec
from headctl.messages import unknown_name


def dependence_problems(
    specs: Mapping[str, HeadSpec], names: Collection[str] | None = None, *, what: str = "head"
) -> list[str]:
    """Returns everything that is wrong with what heads depend on, one line each that starts with the key.

    Args:
        specs: The heads.
        names: All heads that exist, where ``specs`` lacks some (because they have problems of their own).
        what: What the heads are heads of, for messages.
    """
    known = specs if names is None else names
    problems = []
    for name, spec in specs.items():
        key = f"heads.{name}.active_when"
        for parent, choices in spec.active_when:
            if parent not in known:
                problems.append(f"{key}: {unknown_name(what, parent, known)}")
            elif parent in specs:
                problem = _problem_with(specs[parent], choices)
                problems += [f"{key}.{parent}: {problem}"] if problem else []
        circle = _circle(specs, name)
        if circle:
            problems.append(f"{key}: the head depends on itself: {' -> '.join(circle)}")
    return problems


def parents_first(specs: Mapping[str, HeadSpec]) -> list[str]:
    """Returns the names in an order in which every head comes after those that it depends on.

    The heads must be without problems (:func:`dependence_problems`).
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for parent, _ in specs[name].active_when:
                visit(parent)
            order.append(name)

    for name in specs:
        visit(name)
    return order


def _problem_with(parent: HeadSpec, choices: tuple[int, ...]) -> str | None:
    if parent.kind != "categorical":
        kind = f"a {parent.kind} head" if parent.discrete else "a continuous head"
        return f"{parent.name} is {kind} and has no numbered choices, only a categorical head has; got {list(choices)}"
    size = parent.choices
    if isinstance(size, int) and max(choices) >= size:
        return f"the choices of {parent.name} are 0 to {size - 1}, got {list(choices)}"
    return None


def _circle(specs: Mapping[str, HeadSpec], start: str) -> list[str] | None:
    """Returns a way from a head through its parents back to it, or ``None``."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for parent, _ in specs[way[-1]].active_when:
            if parent == start:
                return [*way, start]
            if parent in specs and parent not in seen:
                seen.add(parent)
                ways.append([*way, parent])
    return None
