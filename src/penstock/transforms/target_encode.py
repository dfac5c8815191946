"""TargetEncode: the mean of the target in a category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.categorical import Categorical
from penstock.transforms.categories import Given, category_indices
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array
from penstock.transforms.target import TargetType, folds, read_target

# How far a mean of 0 and 1 may come out of their range by rounding.
_ROUNDING = 1e-9


@register
class TargetEncode(Categorical):
    """Categories as the mean of the target in them, smoothed: text, integers or floats [rows] to FP64 [rows].

    It needs fit()'s `target`. That is 'continuous' (the mean of its numbers), 'binary' (the share of the
    second of two classes, ascending) or 'multiclass' (the share of each class: a column becomes one for each
    class, `carrier_late`). By `target_type='auto'`, two distinct values are binary, numbers with fractions
    continuous, all else multiclass; more than 100 whole numbers are an error that asks which.

    A category of n rows and mean m becomes (n m + smooth M) / (n + smooth), with M the mean of all rows.
    `smooth='auto'` is the empirical Bayes estimate w m + (1 - w) M, w = n V / (n V + v), of the variances V
    of all rows and v of the category's (Micci-Barreca, SIGKDD Explorations 3(1), 2001, equations 3 to 6).
    Missing is a category where fit saw it (or `categories` holds None); empty text is a value like any other.
    What fit did not see becomes M, or with `unknown='error'` is an error that names the row.

    Features.fit_transform is cross-fitted: the rows of each of `cv` folds are encoded by what the other folds
    have learned, so that no row sees its own target. transform() and the server encode by all rows.

    The values, and with the same folds those of fit_transform, are those of scikit-learn's TargetEncoder. The
    folds are those of its `cv=KFold(cv, shuffle=shuffle, random_state=seed)`, StratifiedKFold for classes;
    its own default is another shuffle each time. It differs in that a target in double precision is all that
    it computes with, and that `auto` asks where it is unsure. TransformError without a target, for one with
    missing values, and for fewer rows (of the largest class) than `cv`.
    """

    kind = "target_encode"
    unknown_choices = ("mean", "error")
    cross_fitted = True

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        smooth: float | Literal["auto"] = "auto",
        target_type: Literal["auto"] | TargetType = "auto",
        unknown: Literal["mean", "error"] = "mean",
        cv: int = 5,
        shuffle: bool = True,
        seed: int = 0,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns, unknown, categories)
        self.smooth: float | Literal["auto"] = "auto"
        if smooth != "auto":
            self.smooth = parameters.number(self, "smooth", smooth)
            if self.smooth < 0:
                raise self.error(f"smooth is {smooth!r}, expected 'auto' or at least 0", self.columns[0])
        parameters.choice(self, "target_type", target_type, ("auto", *get_args(TargetType)))
        self._target_type: TargetType | None = None if target_type == "auto" else target_type
        self.cv = parameters.count(self, "cv", cv, 2)
        self.shuffle = parameters.flag(self, "shuffle", shuffle)
        self.seed = parameters.count(self, "seed", seed, 0, 2**32 - 1)
        self._classes: tuple[str, ...] = ()
        self._means: Array = np.empty(0)  # [outputs of a column]
        self._encodings: dict[str, Array] = {}  # [categories, outputs of a column]
        self._found_type: TargetType = "continuous"

    def parameters(self) -> dict[str, Any]:
        """The columns, the target's type, the smoothing, the folds, and what becomes of unknown values."""
        return {
            "columns": self.columns,
            "smooth": self.smooth,
            "target_type": "auto" if self._target_type is None else self._target_type,
            "unknown": self.unknown,
            "cv": self.cv,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "categories": self.categories,
        }

    def learn_codes(self, columns: Mapping[str, Column], target: Column | None) -> None:
        """The means of all rows, and of each category."""
        read = read_target(self, target, self._target_type)
        self._found_type, self._classes = read.type, read.classes
        self._means = _means(read.values)
        self._encodings = {}
        for column, found in self._found.items():
            indices = category_indices(columns[column], found)
            self._encodings[column] = self._encoded(indices, read.values, found.count)
        if not all(np.isfinite(each).all() for each in (self._means, *self._encodings.values())):
            raise self.error("the target has too large values for a mean", self.columns[0])

    def _encoded(self, indices: Array, target: Array, count: int) -> Array:
        """What each of `count` categories becomes, [count, outputs], by these rows."""
        made = np.empty((count, target.shape[1]))
        known = indices >= 0
        places = indices[known]
        rows = np.bincount(places, minlength=count)
        # Sums grow one row after the other, as scikit-learn's, so that they round alike.
        with np.errstate(all="ignore"):
            for output, mean in enumerate(_means(target)):
                values = target[known, output]
                if self.smooth == "auto":
                    variance = target[:, output].var()
                    own = np.bincount(places, values, count) / rows
                    spread = np.bincount(places, (values - own[places]) ** 2, count) / rows
                    weight = variance * rows / (variance * rows + spread)
                    made[:, output] = weight * own + (1 - weight) * mean
                else:
                    sums, weights = np.full(count, self.smooth * mean), np.full(count, self.smooth)
                    np.add.at(sums, places, values)
                    np.add.at(weights, places, 1.0)
                    made[:, output] = sums / weights
                # No rows, or no variance in the category and among all.
                made[np.isnan(made[:, output]), output] = mean
        return made

    def training_outputs(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> dict[str, Column]:
        """Each fold by what the others have learned."""
        read = read_target(self, target, self._target_type)
        indices = {column: category_indices(columns[column], found) for column, found in self._found.items()}
        made = {column: np.empty(read.values.shape) for column in self.columns}
        for learned, left_out in folds(self, read, self.cv, self.seed if self.shuffle else None):
            known = read.values[learned]
            for column, found in self._found.items():
                encoded = self._encoded(indices[column][learned], known, found.count)
                encoded = np.vstack([encoded, _means(known)])  # -1, unknown, is the last one
                made[column][left_out] = encoded[indices[column][left_out]]
        return {
            name: np.ascontiguousarray(made[column][:, output])
            for column in self.columns
            for output, (name, _) in enumerate(self.outputs(column, datatypes[column]))
        }

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name, or one for each class."""
        names = [f"{column}_{name}" for name in self._classes] or [column]
        return [(name, "FP64") for name in names]

    def kernel(self) -> str:
        """Numbers, or vectors of as many as there are classes."""
        return "category_vector" if self._classes else "ordinal"

    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """The means of each category, and of all rows for unknown and missing values."""
        encodings = {column: self._encodings[column] for column in columns}
        return self.value_codes(columns, encodings, dict.fromkeys(columns, self._means))

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a category, the type that the target had, and its classes."""
        return super().learned() | {"target_type": self._found_type, "classes": list(self._classes)}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column, what each becomes (one class after the other), and the means."""
        encodings = {f"{i}.encodings": self._encodings[name].ravel() for i, name in enumerate(self.columns)}
        return super().arrays() | encodings | {"mean": self._means}

    def restore_codes(self, saved: Saved) -> None:
        """Finite numbers, shares of classes from 0 to 1."""
        self._found_type = cast(TargetType, saved.choice("target_type", get_args(TargetType)))
        if self._target_type not in (None, self._found_type):
            raise saved.error(f"the target was {self._found_type}, and target_type is {self._target_type}")
        self._classes = tuple(saved.names("classes"))
        if len(self._classes) < 3 if self._found_type == "multiclass" else self._classes:
            raise saved.error(
                f"'classes' is {list(self._classes)!r}, which a {self._found_type} target has not"
            )
        width = max(1, len(self._classes))
        self._means = self._restored(saved, "mean", width)
        self._encodings = {}
        for index, column in enumerate(self.columns):
            size = self._found[column].count
            self._encodings[column] = self._restored(saved, f"{index}.encodings", size * width).reshape(
                size, width
            )

    def _restored(self, saved: Saved, name: str, size: int) -> Array:
        found = saved.array(name, "FP64", size, finite=True)
        if self._found_type != "continuous" and (np.abs(found - 0.5) > 0.5 + _ROUNDING).any():
            raise saved.error(f"the array {name!r} holds what is no share from 0 to 1")
        return found


def _means(target: Array) -> Array:
    """Of each output."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([values.mean() for values in target.T])
