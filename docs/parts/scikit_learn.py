"""scikit-learn: the classes that are converted, and their parameters."""

from __future__ import annotations

from parts.tables import rows
from penstock.transforms.scikit_learn import CONVERTERS


def scikit_learn() -> str:
    """Each class: what it becomes, the parameters that are followed, and what is refused."""
    return rows(
        ("Class", "Becomes", "Followed", "Without effect", "Refused"),
        [
            (
                f"`{name}`",
                each.becomes,
                listed(each.parameters),
                listed(each.without_effect),
                each.refused or "",
            )
            for name, each in sorted(CONVERTERS.items())
        ],
    )


def listed(names: tuple[str, ...]) -> str:
    """In a cell."""
    return ", ".join(f"`{name}`" for name in names)
