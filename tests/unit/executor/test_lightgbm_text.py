"""What stands between a damaged LightGBM file and a library that trusts its files."""

from __future__ import annotations

import re
from pathlib import Path

import executor_probe
import lightgbm_models
import pytest
from executor_probe import INVALID_ARGUMENT, Failure, Probe


def text_of(kind: str, rounds: int = 6, leaves: int = 31) -> str:
    return str(lightgbm_models.train(kind, rounds, leaves).model_to_string())


def resized(text: str) -> str:
    """Makes tree_sizes agree with the text again, so that only the change under test is wrong."""
    body = text[text.index("Tree=0\n") : text.index("end of trees")]
    sizes = [len(tree.encode()) for tree in re.split(r"(?m)^(?=Tree=)", body) if tree]
    return re.sub(r"(?m)^tree_sizes=.*$", "tree_sizes=" + " ".join(map(str, sizes)), text)


def in_tree(text: str, tree: int, field: str, change: str | None) -> str:
    """Puts `change` where tree's `field` was; None drops the line."""
    start = text.index(f"Tree={tree}\n")
    at = text.index(f"\n{field}=", start) + 1
    end = text.index("\n", at)
    if change is None:
        return resized(text[:at] + text[end + 1 :])
    return resized(text[:at] + f"{field}={change}" + text[end:])


def field_of(text: str, tree: int, field: str) -> list[str]:
    start = text.index(f"Tree={tree}\n")
    found = re.compile(rf"(?m)^{field}=(.*)$").search(text, start)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("kind", lightgbm_models.KINDS)
def test_what_lightgbm_saves_is_accepted(probe: Probe, kind: str) -> None:
    probe.check_lightgbm_text(text_of(kind).encode())


def test_what_lightgbm_saves_of_a_part_of_the_iterations_is_accepted(probe: Probe) -> None:
    booster = lightgbm_models.train("multiclass")
    probe.check_lightgbm_text(booster.model_to_string(num_iteration=3, start_iteration=4).encode())


def test_resizing_by_itself_changes_nothing() -> None:
    text = text_of("multiclass")
    assert resized(text) == text


HEADER = [
    (r"^tree\n", "forest\n", "the first line is not 'tree'"),
    (r"^num_class=3\n", "", "header: field 'num_class' is missing"),
    (r"^num_class=3$", "num_class=0", "num_class='0' is not a whole number from 1"),
    (r"^num_class=3$", "num_class=-3", "num_class='-3' is not"),
    (r"^num_class=3$", "num_class=3x", "num_class='3x' is not"),
    (r"^num_class=3$", "num_class=2147483648", "is not a whole number"),
    (r"^num_class=3$", "num_class==3", "field 'num_class' has a second '='"),
    (r"^num_class=3$", "num_class=3\nnum_class=3", "field 'num_class' comes twice"),
    (r"^num_class=3$", "num_class=2\nnum_tree_per_iteration=2", "num_tree_per_iteration' comes twice"),
    (r"^num_tree_per_iteration=3$", "num_tree_per_iteration=9", "is not a whole number from 3 to 3"),
    (r"^max_feature_idx=5$", "max_feature_idx=4", "feature_names has 6 entries, expected 5"),
    (r"^max_feature_idx=5$", "max_feature_idx=2147483647", "is not a whole number"),
    (r"^feature_infos=\S+ ", "feature_infos=", "feature_infos has 5 entries, expected 6"),
    (r"^objective=.*$", "objective=", "objective is empty"),
    (r"^objective=.*$", "objective=multiclass num_class:9", "does not agree with num_class=3"),
    (r"^tree_sizes=.*$", "tree_sizes=", "lists 0 trees"),
    (
        r"^tree_sizes=\d+ ",
        "tree_sizes=",
        "lists 17 trees, expected at least one and a multiple of num_class=3",
    ),
    (r"^tree_sizes=\d+ ", "tree_sizes=99999999999999999999 ", r"tree_sizes\[0\] is '99999999999999999999'"),
    (r"^tree_sizes=\d+ ", "tree_sizes=18446744073709551615 ", "tree 0: the text ends"),
    (r"^tree_sizes=\d+ ", "tree_sizes=100 ", "tree 0: the tree does not end where tree_sizes says"),
    (r"^tree_sizes=.*\n", "", "field 'tree_sizes' is missing"),
    (r"^Tree=1$", "Tree=7", "tree 1: tree_sizes points at 'Tree=7'"),
    (r"^end of trees$", "", "'end of trees' is missing"),
    (r"^version=v4$", "version=v4\r", "byte 15: a carriage return"),
    (r"^version=v4$", "version=v\0", "byte 14: a zero byte"),
]


@pytest.mark.parametrize(("pattern", "change", "words"), HEADER, ids=[words for _, _, words in HEADER])
def test_a_wrong_header_is_named(probe: Probe, pattern: str, change: str, words: str) -> None:
    text = text_of("multiclass")
    damaged = re.sub("(?m)" + pattern, change, text, count=1)
    assert damaged != text
    with pytest.raises(Failure, match=words) as refused:
        probe.check_lightgbm_text(damaged.encode())
    assert refused.value.code == INVALID_ARGUMENT
    assert "\n" not in str(refused.value)


TREE = [
    ("regression", "num_leaves", "0", "num_leaves='0' is not"),
    ("regression", "num_leaves", "-5", "num_leaves='-5' is not"),
    ("regression", "num_leaves", "2147483647", "num_leaves='2147483647' is not"),
    ("regression", "num_leaves", "2000000000", r"leaf_value has \d+ values, expected 2000000000"),
    ("regression", "num_leaves", None, "field 'num_leaves' is missing"),
    ("regression", "num_cat", "1", "field 'cat_boundaries' is missing"),
    ("regression", "split_feature", None, "field 'split_feature' is missing"),
    ("regression", "split_feature", "1 2", "split_feature has 2 values"),
    ("regression", "leaf_value", "1 2 3", "leaf_value has 3 values"),
    ("regression", "threshold", None, "field 'threshold' is missing"),
    ("regression", "left_child", None, "field 'left_child' is missing"),
    ("regression", "right_child", "", "right_child has 0 values"),
    ("regression", "leaf_weight", "1", "leaf_weight has 1 values"),
    ("regression", "shrinkage", "fast", r"shrinkage\[0\] is 'fast', expected a number"),
    ("linear leaves", "is_linear", "2", "is_linear='2' is not a whole number from 0 to 1"),
    ("linear leaves", "leaf_const", None, "field 'leaf_const' is missing"),
    ("linear leaves", "num_features", "1", "num_features has 1 values"),
    ("linear leaves", "leaf_features", "", r"leaf_features has 0 values, expected [1-9]"),
    ("linear leaves", "leaf_coeff", "1 2", "leaf_coeff has 2 values"),
    ("categories", "cat_boundaries", "0", "cat_boundaries has 1 values"),
    ("categories", "cat_threshold", "7", "cat_threshold has 1 values"),
    ("categories", "num_cat", "0", "splits on categories with threshold .*, expected one below num_cat=0"),
]


@pytest.mark.parametrize(("kind", "field", "change", "words"), TREE, ids=[f"{f} {c}" for _, f, c, _ in TREE])
def test_a_wrong_field_is_named_with_its_tree(
    probe: Probe, kind: str, field: str, change: str | None, words: str
) -> None:
    with pytest.raises(Failure, match=f"tree 2: .*{words}") as refused:
        probe.check_lightgbm_text(in_tree(text_of(kind), 2, field, change).encode())
    assert refused.value.code == INVALID_ARGUMENT


ITEMS = [
    ("regression", "split_feature", 0, "6", "expected a whole number from 0 to 5"),
    ("regression", "split_feature", 3, "-1", "expected a whole number from 0 to 5"),
    ("regression", "threshold", 1, "0x1p3z", "expected a number"),
    ("regression", "leaf_value", 1, "1.5.2", "expected a number"),
    ("regression", "decision_type", 0, "129", "expected a whole number from 0 to 15"),
    ("regression", "decision_type", 0, "3", "splits on categories"),
    ("regression", "left_child", 0, "5000", "expected a whole number from"),
    ("regression", "right_child", 0, "-5000", "expected a whole number from"),
    ("regression", "left_child", 1, "0", "node 0 is reached twice"),
    ("regression", "left_child", 0, "-1", "is reached twice|are reached from the root"),
    ("regression", "leaf_value", 0, "1e400", "expected a number"),
    ("regression", "split_gain", 0, ".5", "expected a number"),
    ("linear leaves", "leaf_const", 0, "5e-324", "too near to zero"),
    ("linear leaves", "num_features", 1, "-1", "expected a whole number from 0 to 6"),
    ("linear leaves", "leaf_features", 0, "6", "expected a whole number from 0 to 5"),
    ("categories", "cat_boundaries", 1, "-1", "expected a whole number from 0"),
    ("categories", "cat_boundaries", 0, "1", "do not rise from 0"),
    ("categories", "cat_threshold", 0, "4294967296", "expected a whole number from 0 to 4294967295"),
]


@pytest.mark.parametrize(
    ("kind", "field", "index", "change", "words"), ITEMS, ids=[f"{f}[{i}]={c}" for _, f, i, c, _ in ITEMS]
)
def test_a_wrong_value_is_named_with_its_place(
    probe: Probe, kind: str, field: str, index: int, change: str, words: str
) -> None:
    text = text_of(kind)
    values = field_of(text, 2, field)
    values[index] = change
    with pytest.raises(Failure, match=f"tree 2: .*({words})") as refused:
        probe.check_lightgbm_text(in_tree(text, 2, field, " ".join(values)).encode())
    assert refused.value.code == INVALID_ARGUMENT


def test_the_smallest_numbers_are_numbers(probe: Probe) -> None:
    text = text_of("regression")
    values = ["5e-324", "-1e-310", "nan", "inf", "-inf", "-0", "1e+20", *field_of(text, 2, "leaf_value")[7:]]
    probe.check_lightgbm_text(in_tree(text, 2, "leaf_value", " ".join(values)).encode())


def test_two_nodes_that_are_each_others_child_are_refused(probe: Probe) -> None:
    text = text_of("regression")
    left, right = field_of(text, 2, "left_child"), field_of(text, 2, "right_child")
    leaf = next(i for i in range(1, len(left)) if left[i].startswith("-") and right[i].startswith("-"))
    parent = next(i for i in range(len(left)) if str(leaf) in (left[i], right[i]))
    side = left if left[parent] == str(leaf) else right
    side[parent], left[leaf] = left[leaf], str(leaf)
    damaged = in_tree(in_tree(text, 2, "left_child", " ".join(left)), 2, "right_child", " ".join(right))
    with pytest.raises(Failure, match=r"tree 2: \d+ of \d+ nodes and leaves are reached from the root"):
        probe.check_lightgbm_text(damaged.encode())


def test_too_many_fields_are_refused_since_the_library_skips_them(probe: Probe) -> None:
    text = text_of("regression")
    extra = "".join(f"field_{'x' * i}=1\n" for i in range(1, 9))
    damaged = resized(text.replace("Tree=2\n", "Tree=2\n" + extra))
    with pytest.raises(Failure, match="tree 2: more than 22 fields"):
        probe.check_lightgbm_text(damaged.encode())


def test_a_cut_file_is_refused_wherever_the_cut_is(probe: Probe) -> None:
    text = text_of("categories", 3).encode()
    end = text.index(b"end of trees") + len(b"end of trees")
    for cut in range(end):
        with pytest.raises(Failure):
            probe.check_lightgbm_text(text[:cut])


def test_the_loader_names_the_file_too(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text(text_of("regression")[:900])
    with pytest.raises(Failure, match=r"model\.txt': LightGBM model text, tree 0: ") as refused:
        probe.lightgbm(path)
    assert refused.value.code == INVALID_ARGUMENT


FUZZ = """
import pathlib, random, re, numpy as np
import executor_probe, native_probe, test_lightgbm_text as damage

probe = executor_probe.Probe(native_probe.built("executor"))
whole = pathlib.Path({path!r}).read_text()
target = pathlib.Path({target!r})
x = np.array([[v] * 6 for v in (np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 39.0, 1e300)])
random = random.Random({seed})
numbers = ["0", "-1", "1", "2", "7", "99", "-99", "1000000", "2147483647", "-2147483648", "4294967296", "1e9",
    "1e400", "1e-400", "5e-324", "nan", "inf", ".5", "5.", "007", "+1", "0x1", ""]
tokens = [m.span() for m in re.finditer(r"(?<=[ =:])[^ =:\\n]+", whole[: whole.index("end of trees")])]
lines = whole.splitlines(keepends=True)
served = refused = compiled = 0
for trial in range({trials}):
    text = whole
    kind = trial % 5
    if kind == 0:  # a number becomes another
        for _ in range(1 + trial % 2):
            start, stop = random.choice(tokens)
            text = whole[:start] + random.choice(numbers) + whole[stop:]
    elif kind == 1:  # two numbers change places
        a, b = sorted(random.sample(tokens, 2))
        text = whole[: a[0]] + whole[b[0] : b[1]] + whole[a[1] : b[0]] + whole[a[0] : a[1]] + whole[b[1] :]
    elif kind == 2:  # a byte flips
        at = random.randrange(len(whole))
        text = whole[:at] + chr(random.randrange(1, 127)) + whole[at + 1 :]
    elif kind == 3:  # a line is dropped or doubled
        at = random.randrange(len(lines))
        text = "".join(lines[:at] + lines[at : at + 1] * random.choice([0, 2]) + lines[at + 1 :])
    else:  # the file is cut
        text = whole[: random.randrange(len(whole))]
    if kind in (0, 1, 3) and "Tree=0\\n" in text and "end of trees" in text:
        text = damage.resized(text)
    target.write_text(text)
    try:
        model = probe.lightgbm(target, engine="library")
    except executor_probe.Failure:
        refused += 1
        try:
            probe.lightgbm(target, engine="forest").free()
        except executor_probe.Failure:
            continue
        raise AssertionError(f"trial {{trial}}: the library refuses what is compiled")
    (expected,) = model.run(x)
    model.free()
    served += 1
    model = probe.lightgbm(target)
    if model.description.startswith("compiled"):
        answers = model.run(x, wanted=tuple(range(len(model.outputs))))
        np.testing.assert_allclose(answers[0], expected, rtol=1e-12, err_msg=f"trial {{trial}}")
        compiled += 1
    model.free()
print(served, refused, compiled)
"""


@pytest.mark.parametrize("kind", ["multiclass", "categories", "linear leaves", "one against all", "stumps"])
def test_no_damage_ends_or_hangs_the_process_or_makes_engines_differ(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.txt"
    path.write_text(text_of(kind, 3, leaves=8))
    code = FUZZ.format(path=str(path), target=str(tmp_path / "damaged.txt"), seed=11, trials=600)
    done = executor_probe.child(code, MALLOC_PERTURB_="165")
    assert done.returncode == 0, done.stderr[-2000:]
    served, refused, compiled = map(int, done.stdout.split()[-3:])
    assert served > 30
    assert refused > 100
    assert (compiled > 30) == (kind != "linear leaves")
