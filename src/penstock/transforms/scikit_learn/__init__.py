"""Fitted transformers of scikit-learn as transforms; it is needed only while they are converted."""

from penstock.transforms.scikit_learn import (
    composition,
    discretizers,
    distributions,
    encoders,
    expansions,
    functions,
    hashers,
    imputers,
    scalers,
    selection,
    texts,
)
from penstock.transforms.scikit_learn.comparison import (
    check_reference,
    first_difference,
)
from penstock.transforms.scikit_learn.converter import (
    CONVERTERS,
    Converter,
    converter_of,
    is_a,
    is_of_scikit_learn,
)
from penstock.transforms.scikit_learn.document import document_of

__all__ = [
    "CONVERTERS",
    "Converter",
    "check_reference",
    "composition",
    "converter_of",
    "discretizers",
    "distributions",
    "document_of",
    "encoders",
    "expansions",
    "first_difference",
    "functions",
    "hashers",
    "imputers",
    "is_a",
    "is_of_scikit_learn",
    "scalers",
    "selection",
    "texts",
]
