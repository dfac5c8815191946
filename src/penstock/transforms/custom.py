"""Custom: a Python function of the user's own, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock.errors import RefusedError
from penstock.frames import Column
from penstock.transforms.captured import scalar_function_of
from penstock.transforms.compiled import kernel_of
from penstock.transforms.joint import Joint
from penstock.transforms.registry import register
from penstock.transforms.scalar_function import ScalarFunction
from penstock.transforms.steps import Block, Step


@register
class Custom(Joint):
    """A function of several numbers, row by row: `function(a, b)` of `["a", "b"]`, [rows] to FP64 [rows].

    `function` is written with `def`, has a plain parameter for each column, and returns a number or a tuple
    of as many as `outputs` names; one output needs no name and has the function's. Its arguments are floats
    in double precision whatever the column's datatype, NaN for missing. Numba compiles it from its source,
    which the bundle records with the values of the numbers, texts and tuples that it takes from outside.
    `math` and `numpy` are there as far as Numba knows them, and other functions of yours as `helpers`, each
    behind those that it calls.

    A row for which it raises, or reads behind the end of something, is refused. Division by zero is NumPy's:
    infinity or NaN. The outputs stand in the place of the first column, with `keep` behind it, and then all
    columns stay. `name` is what messages call it. TransformError at once for a source that cannot be taken,
    and at fit, with the line, for one that Numba cannot compile.

    A server runs it only where `repository.allow_custom_transforms` is set, `penstock.load` with
    `allow_custom=True`: a bundle with this is a program of whoever built it.
    """

    kind = "custom"

    def __init__(
        self,
        columns: str | Sequence[str],
        function: Callable[..., Any] | Mapping[str, Any],
        outputs: str | Sequence[str] | None = None,
        *,
        helpers: Sequence[Callable[..., Any]] = (),
        name: str | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(columns, least=1, most=None, keep=keep)
        if isinstance(function, Mapping):  # as parameters() gives it
            if helpers:
                raise self.error("helpers are a part of the function that was saved", self.columns[0])
            self.function = ScalarFunction.from_saved(function)
        else:
            self.function = scalar_function_of(function, helpers)
        self._allowed = not isinstance(function, Mapping)
        if name is not None and not (isinstance(name, str) and name):
            raise self.error(f"name is {name!r}, expected text", self.columns[0])
        self.name = name or self.function.main.name
        self._names = self._output_names(outputs)
        parameters = self.function.arguments
        if len(parameters) != len(self.columns):
            raise self.function.error(
                f"it has {len(parameters)} parameters ({', '.join(parameters) or 'none'}) "
                f"for {len(self.columns)} columns ({', '.join(self.columns)})"
            )

    def _output_names(self, outputs: str | Sequence[str] | None) -> tuple[str, ...]:
        if outputs is None or isinstance(outputs, str):
            given: tuple[str, ...] = (self.function.main.name if outputs is None else outputs,)
        else:
            given = tuple(outputs) if isinstance(outputs, Iterable) else ()
        if not given or not all(isinstance(name, str) and name for name in given):
            raise self.error(f"outputs is {outputs!r}; expected a name or a list of names", self.columns[0])
        for index, name in enumerate(given):
            if name in given[:index] or (self.keep and name in self.columns):
                raise self.error(
                    f"the output {name!r} is there already; give it another name", self.columns[0]
                )
        return given

    def __repr__(self) -> str:
        return f"Custom({list(self.columns)}, {self.function.main.name}, outputs={list(self._names)})"

    def step_name(self, columns: Sequence[str]) -> str:
        """With the name of the function."""
        return f"{self.kind} {self.name}({', '.join(columns)})"

    def allow(self) -> None:
        """Lets a transform that was read from a bundle be compiled and run: it is code of others."""
        self._allowed = True

    def check_datatypes(self, datatypes: Mapping[str, str]) -> None:
        """Text is refused: the function takes numbers."""
        for column in self.columns:
            if datatypes[column] == "BYTES":
                raise self.error(
                    "it is text (BYTES), and a custom transform reads numbers; make some of it first, "
                    "as with an Ordinal",
                    column,
                )
        super().check_datatypes(datatypes)

    def parameters(self) -> dict[str, Any]:
        """The columns, the function by its source, the outputs' names."""
        return {
            "columns": self.columns,
            "function": self.function.to_saved(),
            "outputs": self._names,
            "name": self.name,
            "keep": self.keep,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing, but compiles: what cannot be compiled should be told now."""
        self._address()

    def names(self) -> tuple[str, ...]:
        """The outputs."""
        return self._names

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call. Its kernel is compiled when the program is made, and only if that is allowed."""
        block = Block(self._names, "FP64")
        name = self.step_name(self.columns)
        return [Step(name, self._address, (), self.columns, (block,), refuses=True, doubles=True)]

    def _address(self) -> int:
        if not self._allowed:
            raise RefusedError(
                f"the custom transform {self.name} is code of whoever built the bundle, and nothing here "
                "allows to run it. Where you trust them: a server takes `allow_custom_transforms = true` "
                "under [repository], PENSTOCK_REPOSITORY_ALLOW_CUSTOM_TRANSFORMS=true or "
                "--allow-custom-transforms; penstock.load takes allow_custom=True; `predict --local` "
                "and `bundle verify --run` take --allow-custom-transforms. `penstock bundle inspect` shows "
                "its source"
            )
        return kernel_of(self.function, len(self._names))
