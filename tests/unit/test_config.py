from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.bundle.verify import Limits
from penstock.config import BundleSection, PoolSection, Scheduling, Settings, load_settings
from penstock.errors import ConfigError


def load(tmp_path: Path, text: str, *, env: dict[str, str] | None = None, **overrides: object) -> Settings:
    file = tmp_path / "penstock.toml"
    file.write_text(text)
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(file, overrides=dotted, environment=env or {})


def refusal(tmp_path: Path, text: str, *, env: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text, env=env, **overrides)
    return str(refused.value)


def test_without_anything_the_server_listens_on_loopback_and_refuses_loads() -> None:
    settings = load_settings(environment={})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8001)
    assert not settings.repository.allow_load_unload
    assert not settings.repository.allow_custom_transforms
    assert settings.model("any").policy == "latest"


def test_the_bundle_limits_are_those_of_bundles_by_default() -> None:
    assert Limits(**BundleSection().model_dump()) == Limits()


def test_every_section_is_read_from_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [server]
        port = 9000
        drain_timeout_s = 5
        [limits]
        max_message_bytes = 4096
        [repository]
        path = "models"
        watch = true
        [bundle]
        files = 8
        [pool]
        threads = 3
        inline_us = 0.5
        queue_limit = 7
        [models.delay]
        policy = ["1", "3"]
        aliases = { champion = "1" }
        options = { providers = ["cuda", "cpu"], fallback = true }
        [models.fare]
        latest_count = 2
        [models.fare.scheduling]
        execution = "pool"
        merge = true
        max_batch_rows = 32
        max_wait_us = 2000
        """,
    )
    assert (settings.server.port, settings.server.drain_timeout_s) == (9000, 5.0)
    assert settings.limits.max_message_bytes == 4096
    assert (settings.repository.path, settings.repository.watch) == (Path("models"), True)
    assert settings.bundle.files == 8
    assert settings.model("delay").policy == ("1", "3")
    assert settings.model("delay").aliases == {"champion": "1"}
    assert settings.model("delay").options == {"providers": ["cuda", "cpu"], "fallback": True}
    assert (settings.model("fare").policy, settings.model("fare").latest_count) == ("latest", 2)
    assert settings.pool == PoolSection(threads=3, inline_us=0.5, queue_limit=7)
    assert settings.model("delay").scheduling == Scheduling()
    assert settings.model("fare").scheduling == Scheduling(
        execution="pool", merge=True, max_batch_rows=32, max_wait_us=2000.0
    )


@pytest.mark.parametrize("said", [True, False, "auto"])
def test_sharing_runs_can_be_set_back_to_what_is_measured(tmp_path: Path, said: bool | str) -> None:
    value = '"auto"' if said == "auto" else str(said).lower()
    settings = load(tmp_path, f"[models.m.scheduling]\nmerge = {value}\n")
    assert settings.model("m").scheduling.merge == said


def test_the_pool_is_set_by_variables_too(tmp_path: Path) -> None:
    env = {"PENSTOCK_POOL_THREADS": "2", "PENSTOCK_POOL_INLINE_US": "1e3", "PENSTOCK_POOL_QUEUE_LIMIT": "9"}
    settings = load(tmp_path, "[pool]\nthreads = 1\n", env=env)
    assert settings.pool == PoolSection(threads=2, inline_us=1000.0, queue_limit=9)
    message = refusal(
        tmp_path, "", env={"PENSTOCK_POOL_INLINE_US": "quick", "PENSTOCK_POOL_QUEUE_LIMITS": "9"}
    )
    assert "PENSTOCK_POOL_INLINE_US: pool.inline_us" in message
    assert "got 'quick'" in message
    assert "PENSTOCK_POOL_QUEUE_LIMITS: unknown key pool.queue_limits; did you mean queue_limit?" in message


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    text = "[server]\nhost = 'a'\nport = 1\nloops = 1\n"
    env = {"PENSTOCK_SERVER_PORT": "2", "PENSTOCK_SERVER_LOOPS": "2", "PENSTOCK_OTHER": "x", "HOME": "/"}
    server = load(tmp_path, text, env=env, server__loops=3).server
    assert (server.host, server.port, server.loops) == ("a", 2, 3)


@pytest.mark.parametrize("text", ["1", '"true"', "[]"])
def test_code_of_bundles_is_not_allowed_by_what_only_looks_like_it(tmp_path: Path, text: str) -> None:
    assert "repository.allow_custom_transforms" in refusal(
        tmp_path, f"[repository]\nallow_custom_transforms = {text}\n"
    )


def test_the_cache_of_compiled_code_is_no_misspelt_setting(caplog: pytest.LogCaptureFixture) -> None:
    load_settings(
        environment={
            "PENSTOCK_CACHE_DIR": "/tmp/cache",
            "PENSTOCK_REPOSITORY_ALLOW_CUSTOM_TRANSFORMS": "true",
        }
    )
    assert caplog.text == ""


def test_the_environment_is_read_as_the_type_of_each_setting() -> None:
    settings = load_settings(
        environment={
            "PENSTOCK_SERVER_HOST": "8001",
            "PENSTOCK_REPOSITORY_PATH": "/models",
            "PENSTOCK_REPOSITORY_WATCH": "true",
            "PENSTOCK_LIMITS_IDLE_TIMEOUT_S": "1.5",
        }
    )
    assert settings.server.host == "8001"
    assert settings.repository.path == Path("/models")
    assert settings.repository.watch is True
    assert settings.limits.idle_timeout_s == 1.5


# What a container gets of a service named penstock-server with one port named grpc.
SERVICE_LINKS = {
    "PENSTOCK_SERVER_SERVICE_HOST": "10.0.0.1",
    "PENSTOCK_SERVER_SERVICE_PORT": "8001",
    "PENSTOCK_SERVER_SERVICE_PORT_GRPC": "8001",
    "PENSTOCK_SERVER_PORT": "tcp://10.0.0.1:8001",
    "PENSTOCK_SERVER_PORT_8001_TCP": "tcp://10.0.0.1:8001",
    "PENSTOCK_SERVER_PORT_8001_TCP_PROTO": "tcp",
    "PENSTOCK_SERVER_PORT_8001_TCP_PORT": "8001",
    "PENSTOCK_SERVER_PORT_8001_TCP_ADDR": "10.0.0.1",
}


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What the configuration logs, wherever the process's log goes."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("penstock.config")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_service_links_of_kubernetes_are_no_settings(logged: list[logging.LogRecord]) -> None:
    assert load_settings(environment=SERVICE_LINKS) == Settings()
    (record,) = logged
    message = record.getMessage()
    assert message.startswith("ignored PENSTOCK_SERVER_PORT=tcp://10.0.0.1:8001 and 7 more like it: ")
    assert "enableServiceLinks: false" in message
    assert record.levelname == "WARNING"


def test_a_port_that_was_set_stands_among_service_links(logged: list[logging.LogRecord]) -> None:
    # Kubernetes leaves alone what the container's own specification sets.
    settings = load_settings(environment=SERVICE_LINKS | {"PENSTOCK_SERVER_PORT": "9000"})
    assert settings.server.port == 9000
    assert "and 6 more" in logged[0].getMessage()


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("PENSTOCK_SEVER_PORT", "did you mean PENSTOCK_SERVER_PORT?"),
        ("PENSTOCK_PORT", "did you mean PENSTOCK_SERVER_PORT?"),
        ("PENSTOCK_MODELS_DELAY_POLICY", "settings of models stand in the file that --config names"),
        ("PENSTOCK_", "they begin with PENSTOCK_SERVER_, PENSTOCK_POOL_, PENSTOCK_LIMITS_, "),
    ],
)
def test_a_variable_of_no_section_is_told_with_the_nearest_setting(
    logged: list[logging.LogRecord], variable: str, hint: str
) -> None:
    assert load_settings(environment={variable: "secret"}) == Settings()
    (record,) = logged
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"ignored {variable}, which is no setting; {hint}")
    assert "secret" not in record.getMessage()


def test_links_to_a_service_named_penstock_are_nobodys_mistake(logged: list[logging.LogRecord]) -> None:
    links = {
        variable.replace("PENSTOCK_SERVER_", "PENSTOCK_"): value for variable, value in SERVICE_LINKS.items()
    }
    assert load_settings(environment=links) == Settings()
    assert logged == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_SERVER_PORT", "8001/tcp"),
        ("PENSTOCK_SERVER_HTTP_PORT", "8001"),
        ("PENSTOCK_LIMITS_PORT", "1"),
    ],
)
def test_what_kubernetes_would_not_set_is_checked_as_ever(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load_settings(environment={variable: value})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[server]\nport = 70000", ["server.port", "65535", "got 70000"]),
        ("[server]\nport = '8001'", ["server.port", "integer", "got '8001'"]),
        ("[server]\nport = true", ["server.port", "integer", "got True"]),
        ("[server]\nprot = 1", ["unknown key server.prot", "did you mean port?"]),
        ("[serverr]", ["unknown key serverr", "did you mean server?"]),
        ("[limits]\nzzz = 1", ["unknown key limits.zzz", "max_message_bytes"]),
        (
            "[limits]\nmax_buffered_bytes = 2048",
            ["limits", "max_buffered_bytes (2048)", "max_message_bytes (67108864)"],
        ),
        (
            "[limits]\nmax_total_buffered_bytes = 2048",
            ["limits", "max_total_buffered_bytes (2048)", "max_buffered_bytes (268435456)"],
        ),
        ("[limits]\nkeepalive_timeout_s = nan", ["limits.keepalive_timeout_s", "finite"]),
        (
            "[models.delay]\npolicy = 'newest'",
            ["models.delay.policy", 'expected "latest", "all"', "got 'newest'"],
        ),
        ("[models.delay]\npolicy = []", ["models.delay.policy", "a list of version names"]),
        ("[models.delay]\npolicy = [1]", ["models.delay.policy", "got [1]"]),
        ("[models.delay]\nalias = 1", ["unknown key models.delay.alias", "did you mean aliases?"]),
        ("[models.delay.aliases]\nchampion = 2", ["models.delay.aliases.champion", "string", "got 2"]),
        ("[pool]\nthreads = -1", ["pool.threads", "0", "got -1"]),
        ("[pool]\ninline_us = inf", ["pool.inline_us", "finite"]),
        ("[pool]\ninline_us = '250'", ["pool.inline_us", "number", "got '250'"]),
        ("[pool]\nqueue_limit = 0", ["pool.queue_limit", "1", "got 0"]),
        ("[pool]\ninline = 1", ["unknown key pool.inline", "did you mean inline_us?"]),
        (
            "[models.m.scheduling]\nexecution = 'gpu'",
            ["models.m.scheduling.execution", "'auto', 'inline' or 'pool'", "got 'gpu'"],
        ),
        (
            "[models.m.scheduling]\nmerge = 'yes'",
            ["models.m.scheduling.merge: ", 'expected true, false or "auto"', "got 'yes'"],
        ),
        ("[models.m.scheduling]\nmerge = 1", ["models.m.scheduling.merge: ", "got 1"]),
        ("[models.m.scheduling]\nmax_batch_rows = 0", ["models.m.scheduling.max_batch_rows", "got 0"]),
        ("[models.m.scheduling]\nmax_wait_us = -1", ["models.m.scheduling.max_wait_us", "got -1"]),
        (
            "[models.m.scheduling]\nmax_batch = 8",
            ["unknown key models.m.scheduling.max_batch", "did you mean max_batch_rows?"],
        ),
        ("[models.m]\nexecution = 'pool'", ["unknown key models.m.execution", "scheduling"]),
        ("server = 3", ["server", "got 3"]),
    ],
)
def test_a_wrong_value_is_named_with_its_file_what_came_and_what_was_expected(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    message = refusal(tmp_path, text)
    for part in [str(tmp_path / "penstock.toml"), *parts]:
        assert part in message


def test_every_wrong_value_is_told_with_where_it_came_from(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        "[server]\nport = -1\n",
        env={"PENSTOCK_SERVER_LOOPS": "many", "PENSTOCK_LIMITS_NOTHING": "1"},
        repository__load_threads=0,
    )
    lines = message.splitlines()
    assert any(line.startswith(f"{tmp_path}/penstock.toml: server.port") for line in lines)
    assert any(
        line.startswith("PENSTOCK_SERVER_LOOPS: server.loops") and "got 'many'" in line for line in lines
    )
    assert any(line.startswith("PENSTOCK_LIMITS_NOTHING: unknown key limits.nothing") for line in lines)
    assert any(line.startswith("command line: repository.load_threads") for line in lines)
    assert len(lines) == 4


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: the configuration cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.toml", environment={})
    assert "not a TOML file" in refusal(tmp_path, "[server")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(environment={}).server.port = 1  # type: ignore[misc]
