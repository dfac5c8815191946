"""Bundles with code of their own: refused by a server unless it may run them, and then exact to the bit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from test_bad_bundles import rewrite

import penstock
from penstock import transforms as t
from penstock.errors import RefusedError, StatusError, TransformError
from sample_bundles import flights
from server_process import ServerProcess, StartServer, environment

KILOMETRES = 1.609344


def pace(distance, hour, wind):
    """How fast against the wind, and whether at night."""
    if distance > 1e6:
        raise ValueError("no flight is that long")
    return abs(distance) * KILOMETRES / (hour + 1) - wind, hour < 6


def features() -> t.Features:
    custom = t.Custom(["distance", "hour", "wind"], pace, ["pace", "night"], keep=True)
    return t.Features([custom, t.OneHot("carrier")])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pace/1 has a custom transform; pace/2 has one that is not what was built; plain/1 has none."""
    root = tmp_path_factory.mktemp("custom") / "repository"
    frame = flights(300)
    for name, made in (("pace", features()), ("plain", t.Features([t.Select(["distance", "hour"])]))):
        made.fit(frame)
        target = (frame["distance"] > 0).to_numpy(float)
        booster = lightgbm.train(
            {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1},
            lightgbm.Dataset(made.transform(frame), target),
            6,
        )
        penstock.build(
            root, name=name, version="1", model=booster, features=made, examples=flights(8, seed=9)
        )
    forged = root / "pace" / "2"
    shutil.copytree(root / "pace" / "1", forged)
    document = json.loads((forged / "transforms.json").read_bytes())
    function = dict(document["transforms"][0]["parameters"]["function"]["mapping"])
    function["source"][-1] = '    return distance + "fast", hour'
    document["transforms"][0]["parameters"]["function"] = {"mapping": [list(p) for p in function.items()]}
    manifest = json.loads((forged / "bundle.json").read_bytes()) | {"version": "2"}
    (forged / "bundle.json").write_text(json.dumps(manifest))
    rewrite(forged, "transforms.json", json.dumps(document).encode())
    return root


def cli(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def infer(server: ServerProcess, name: str, frame: pd.DataFrame) -> Any:
    with penstock.Client(server.address) as client:
        return client.infer(name, frame)["prediction"]


def test_a_server_refuses_code_unless_it_is_allowed_and_serves_the_rest(
    repository: Path, start_server: StartServer
) -> None:
    server = start_server(repository, settings={"models.pace": {"policy": ["1"]}})
    line = server.wait_for("pace:1 refused").string
    assert "the custom transform pace is code of whoever built the bundle" in line
    assert "allow_custom_transforms = true" in line
    assert "PENSTOCK_REPOSITORY_ALLOW_CUSTOM_TRANSFORMS=true" in line
    assert len(infer(server, "plain", flights(5))) == 5
    with pytest.raises(StatusError):
        infer(server, "pace", flights(5))
    maps = Path(f"/proc/{server.pid}/maps").read_text()
    assert "llvmlite" not in maps, "nothing was compiled, and nothing loaded to compile with"


@pytest.mark.parametrize(
    ("options", "settings"),
    [(["--allow-custom-transforms"], {}), ([], {"repository": {"allow_custom_transforms": True}})],
    ids=["option", "setting"],
)
def test_a_server_that_allows_it_answers_to_the_bit_what_this_process_does(
    repository: Path, start_server: StartServer, options: Sequence[str], settings: dict[str, Any]
) -> None:
    server = start_server(repository, *options, settings=settings | {"models.pace": {"policy": ["1"]}})
    runner = penstock.load(repository / "pace" / "1", allow_custom=True)
    frame = flights(700, seed=4)
    expected = runner.predict(frame)["prediction"]
    assert infer(server, "pace", frame).tobytes() == expected.tobytes()
    alone = np.concatenate([infer(server, "pace", frame.iloc[row : row + 1]) for row in range(40)])
    assert alone.tobytes() == expected[:40].tobytes()
    frame.loc[650, "distance"] = 1e9
    with pytest.raises(StatusError, match=r"custom pace\(distance, hour, wind\).*row 650"):
        infer(server, "pace", frame)
    assert infer(server, "pace", flights(700, seed=4)).tobytes() == expected.tobytes()
    assert "Traceback" not in server.output


def test_what_does_not_compile_is_told_with_bundle_function_and_line(
    repository: Path, start_server: StartServer
) -> None:
    server = start_server(
        repository, "--allow-custom-transforms", settings={"models.pace": {"policy": "all"}}
    )
    line = server.wait_for("pace:2 refused").string
    assert (
        'pace:2 refused: custom transform pace (line 5: `return distance + "fast", hour`): there is no add('
        in line
    )
    assert len(infer(server, "pace", flights(5))) == 5, "version 1 serves"


def test_loading_in_process_needs_a_permission_and_building_ones_own_does_not(repository: Path) -> None:
    with pytest.raises(RefusedError, match=r"pace/1: the custom transform pace .*allow_custom=True"):
        penstock.load(repository / "pace" / "1")
    with pytest.raises(TransformError, match=r"pace/2: custom transform pace \(line 5"):
        penstock.load(repository / "pace" / "2", allow_custom=True)
    penstock.load(repository / "plain" / "1")


def test_a_bundle_is_inspected_and_verified_without_running_its_code(
    repository: Path, tmp_path: Path
) -> None:
    for version, body in (("1", "abs(distance) * KILOMETRES"), ("2", 'return distance + "fast", hour')):
        shown = cli("bundle", "inspect", repository / "pace" / version)
        assert "KILOMETRES = 1.609344\n\ndef pace(distance, hour, wind):\n" in shown
        assert body in shown
        assert re.search(r"custom +distance hour wind +function pace, .*outputs pace night", shown)
        cli("bundle", "verify", repository / "pace" / version)
    refused = cli("bundle", "verify", "--run", repository / "pace" / "1", code=1)
    assert "--allow-custom-transforms" in refused
    allowed = cli("bundle", "verify", "--run", "--allow-custom-transforms", repository / "pace" / "1")
    assert "8 golden examples" in allowed
    assert "it is for --run" in cli(
        "bundle", "verify", "--allow-custom-transforms", repository / "pace" / "1", code=2
    )


def test_predicting_here_from_the_command_line_needs_the_option(repository: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    flights(20).to_csv(rows, index=False)
    command = ("predict", "pace:1", rows, "--local", "--repository", repository)
    assert "--allow-custom-transforms" in cli(*command, code=1)
    assert len(cli(*command, "--allow-custom-transforms").splitlines()) == 21
    assert "it is for --local" in cli("predict", "pace", rows, "--allow-custom-transforms", code=2)
