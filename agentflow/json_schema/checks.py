"""What a schema is made of once it is compiled: nodes of checks, and what one check of a value keeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from agentflow.meter import Meter

#: Where a value stands: nothing, or the place around it and the last step.
Path: TypeAlias = "tuple[Any, ...]"


class SchemaUnusable(ValueError):
    """A schema that no value can be checked by, though it has a schema's form; callers tell where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFault:
    """Something that a value does not satisfy."""

    path: tuple[str | int, ...]
    #: None where a schema is `false`.
    keyword: str | None
    rule: Any
    value: Any
    schema: Any
    #: Of `oneOf`, whether none of its schemas fits, and not several.
    fits_none: bool = False
    #: What to write instead, where it is known what was meant.
    hint: str | None = None


class Run:
    """One check of a value."""

    __slots__ = ("faults", "limit", "meter")

    def __init__(self, meter: Meter, limit: int) -> None:
        """With a `limit` of 0 it only asks whether the value fits."""
        self.meter, self.limit = meter, limit
        self.faults: list[SchemaFault] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked for, once something is wrong."""
        return len(self.faults) >= self.limit

    def fault(self, node: "Node", keyword: str | None, value: Any, path: Path, *, fits_none: bool = False) -> bool:
        """Notes a fault, and says that the value does not fit."""
        if len(self.faults) < self.limit:
            rule = node.schema.get(keyword) if isinstance(node.schema, Mapping) else None
            self.faults.append(
                SchemaFault(
                    path=_steps(path), keyword=keyword, rule=rule, value=value, schema=node.schema, fits_none=fits_none
                )
            )
        return False


Check: TypeAlias = "Callable[[Run, Any, Path], bool]"


class Node:
    """A schema, or a schema in one, as the checks of its keywords."""

    __slots__ = ("checks", "evaluated", "schema")

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.checks: list[Check] = []
        #: Of the members and items of a value, those that the schema has a say about.
        self.evaluated: list[Callable[[Run, Any], set[Any]]] = []

    def check(self, run: Run, value: Any, path: Path) -> bool:
        """Whether the value fits; its faults are noted in `run`."""
        run.meter.spend(1 + len(self.checks))
        if self.schema is False:
            return run.fault(self, None, value, path)
        fits = True
        for check in self.checks:
            if not check(run, value, path):
                fits = False
                if run.is_over:
                    break
        return fits

    def fits(self, run: Run, value: Any) -> bool:
        """Whether the value fits, and nothing else."""
        return self.check(Run(run.meter, 0), value, ())

    def seen(self, run: Run, value: Any) -> set[Any]:
        """The members or positions of `value` that this schema evaluates (Core, section 11)."""
        run.meter.spend(1 + len(self.evaluated))
        found: set[Any] = set()
        for part in self.evaluated:
            more = part(run, value)
            run.meter.read(len(more))
            found |= more
        return found


def _steps(path: Path) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    while path:
        path, step = path
        steps.append(step)
    return tuple(reversed(steps))
