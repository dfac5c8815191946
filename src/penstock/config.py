"""The settings of a server: a TOML file, under PENSTOCK_* variables, under the command line.

Every value is checked before anything starts. An error names the key, where its value came from, what came
and what was expected; a key that does not exist is an error too, with the nearest one that does. A PENSTOCK_*
variable of no section is a warning: other programs may use the name.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from penstock.errors import ConfigError

ENVIRONMENT_PREFIX = "PENSTOCK_"
# Read where it is used, not a server's alone: see transforms/code_cache.py.
_OTHER_VARIABLES = ("PENSTOCK_CACHE_DIR",)

# What Kubernetes puts into every container for a service of the namespace, as Docker's links did: for one
# named penstock-server, PENSTOCK_SERVER_PORT=tcp://10.0.0.1:8001 and a dozen more.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_LINK_URL = re.compile(r"(tcp|udp|sctp)://\S+", re.IGNORECASE)
_LINK_NAME = re.compile(r"(_SERVICE_(HOST|PORT(_\w+)?)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")

_logger = logging.getLogger(__name__)

Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Bytes = Annotated[int, Field(ge=1024)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ServerSection(_Section):
    """`[server]`: where to listen and how to stop."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8001  # 0: any free one
    unix_socket: str = ""  # a path; "": none
    loops: Annotated[int, Field(ge=0, le=1024)] = 0  # 0: one a core
    # How long a loop looks for the next request before it sleeps, while that finds most of them; 0: never.
    spin_us: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] = 50.0
    drain_timeout_s: Seconds = 30.0


class PoolSection(_Section):
    """`[pool]`: the threads for requests that would hold up the loops."""

    threads: Annotated[int, Field(ge=0, le=1024)] = 0  # 0: one a core but for one
    inline_us: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 250.0
    queue_limit: Count = 256  # of one version


class LimitsSection(_Section):
    """`[limits]`: what one peer may take. The data plane enforces them; see ext/net/options.h."""

    # Protobuf ends at 2 GiB - 1, whatever gRPC's prefix could announce.
    max_message_bytes: Annotated[Bytes, Field(le=2**31 - 1)] = 64 * 1024 * 1024
    max_concurrent_streams: Count = 1024
    max_connections: Count = 10_000
    max_buffered_bytes: Bytes = 256 * 1024 * 1024  # of one connection, both directions
    max_total_buffered_bytes: Bytes = 2 * 1024**3  # of all connections
    idle_timeout_s: Seconds = 3600.0  # 0: never
    header_timeout_s: PositiveSeconds = 10.0
    body_timeout_s: PositiveSeconds = 60.0
    keepalive_interval_s: Seconds = 60.0  # 0: no pings
    keepalive_timeout_s: PositiveSeconds = 20.0
    stall_timeout_s: PositiveSeconds = 60.0  # of a peer that does not read what was sent

    @model_validator(mode="after")
    def _a_message_fits(self) -> LimitsSection:
        if self.max_buffered_bytes < self.max_message_bytes:
            raise ValueError(
                f"max_buffered_bytes ({self.max_buffered_bytes}) must hold at least one message of "
                f"max_message_bytes ({self.max_message_bytes})"
            )
        if self.max_total_buffered_bytes < self.max_buffered_bytes:
            raise ValueError(
                f"max_total_buffered_bytes ({self.max_total_buffered_bytes}) must be at least "
                f"max_buffered_bytes ({self.max_buffered_bytes})"
            )
        return self


class RepositorySection(_Section):
    """`[repository]`: where the bundles are and how they come and go."""

    path: Annotated[Path, Field(strict=False)] = Path("repository")
    watch: bool = False
    watch_interval_s: Annotated[float, Field(ge=0.05, le=86_400, allow_inf_nan=False)] = 1.0
    load_threads: Annotated[int, Field(ge=1, le=64)] = 2
    allow_load_unload: bool = False  # RepositoryModelLoad and RepositoryModelUnload on the callers' port
    allow_custom_transforms: bool = False  # run the code that bundles bring (transforms/custom.py)


class BundleSection(_Section):
    """`[bundle]`: how large a bundle may be."""

    manifest_bytes: Bytes = 1 << 20
    files: Count = 32  # beside the manifest
    file_bytes: Bytes = 4 << 30
    total_bytes: Bytes = 8 << 30


def _policy(value: object) -> object:
    if value in ("latest", "all"):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise ValueError('expected "latest", "all", or a list of version names such as ["1", "3"]')


def _merge(value: object) -> object:
    if value is None or value == "auto" or isinstance(value, bool):
        return value
    raise ValueError('expected true, false or "auto"')


class Scheduling(_Section):
    """`[models.<name>.scheduling]`, or a bundle's own: where requests run, and whether they share runs.

    What the settings say wins over the bundle, and either over what was measured, which decides where nothing
    or "auto" is said. What has no effect on a version is told in the log when it loads.
    """

    execution: Literal["auto", "inline", "pool"] | None = None
    merge: Annotated[Literal["auto"] | bool | None, BeforeValidator(_merge)] = None
    max_batch_rows: Count | None = None
    max_wait_us: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)] | None = None

    def over(self, other: Scheduling) -> Scheduling:
        """This, and where it says nothing, the other."""
        return other.model_copy(update=self.model_dump(exclude_none=True))


class ModelSection(_Section):
    """`[models.<name>]`: which versions of a model to serve, and how."""

    policy: Annotated[Literal["latest", "all"] | tuple[str, ...], BeforeValidator(_policy)] = "latest"
    latest_count: Annotated[int, Field(ge=1, le=1000)] = 1  # with policy "latest"
    aliases: dict[Name, Name] = {}
    # Of the model's kind (providers, intra_op_threads, ...), instead of the bundle's own; checked when it is
    # loaded.
    options: dict[str, JsonValue] = {}
    scheduling: Scheduling = Scheduling()


class Settings(_Section):
    """All of them; `load_settings` reads them."""

    server: ServerSection = ServerSection()
    pool: PoolSection = PoolSection()
    limits: LimitsSection = LimitsSection()
    repository: RepositorySection = RepositorySection()
    bundle: BundleSection = BundleSection()
    models: dict[Name, ModelSection] = {}

    def model(self, name: str) -> ModelSection:
        """The settings of a model; the defaults for one that the file does not name."""
        return self.models.get(name, _DEFAULT_MODEL)


_DEFAULT_MODEL = ModelSection()
_FLAT_SECTIONS: tuple[str, ...] = ("server", "pool", "limits", "repository", "bundle")


def load_settings(
    file: Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Reads and checks the settings.

    `file` is a TOML file. `environment` (os.environ where None) may hold PENSTOCK_<SECTION>_<KEY>, as in
    PENSTOCK_SERVER_PORT=9000. `overrides` are the command line's, by dotted key, as in {"server.port": 9000};
    they win over the environment, which wins over the file. Variables that Kubernetes sets for a service of
    such a name are passed over, with a warning in the log, and so are PENSTOCK_* variables of no section.
    Raises ConfigError with one line for each thing that is wrong.
    """
    values: dict[str, Any] = {}
    origins: dict[tuple[str, ...], str] = {}
    if file is not None:
        values = _read_file(file)
        origins[()] = str(file)
    for key, variable, value in _read_environment(os.environ if environment is None else environment):
        _put(values, key, value)
        origins[key] = variable
    for dotted, value in (overrides or {}).items():
        path = tuple(dotted.split("."))
        _put(values, path, value)
        origins[path] = "command line"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [_explain(detail, origins) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: the configuration cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from error


def _read_environment(environment: Mapping[str, str]) -> list[tuple[tuple[str, str], str, object]]:
    found: list[tuple[tuple[str, str], str, object]] = []
    links: list[str] = []
    for section in _FLAT_SECTIONS:
        prefix = f"{ENVIRONMENT_PREFIX}{section.upper()}_"
        model = Settings.model_fields[section].annotation
        assert model is not None
        for variable in sorted(environment):
            if variable.startswith(prefix):
                key = variable.removeprefix(prefix).lower()
                if _is_service_link(variable, environment[variable]):
                    links.append(variable)
                    continue
                field = model.model_fields.get(key)
                value: object = environment[variable]
                if field is not None:
                    value = _from_text(field.annotation, environment[variable])
                found.append(((section, key), variable, value))
    _warn_of_strays(environment)
    if links:
        _logger.warning(
            "ignored %s=%s%s: Kubernetes sets such variables for a service whose name begins like a setting "
            "of Penstock; `enableServiceLinks: false` in the pod's specification turns them off",
            links[0],
            environment[links[0]],
            f" and {len(links) - 1} more like it" if len(links) > 1 else "",
        )
    return found


def _warn_of_strays(environment: Mapping[str, str]) -> None:
    """Of variables that look like settings and are of no section: a misspelt one must not pass in silence."""
    sections = tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}_" for section in _FLAT_SECTIONS)
    names: dict[str, str] = {}  # SECTION_KEY, and KEY alone, to the whole name
    for prefix, section in zip(sections, _FLAT_SECTIONS, strict=True):
        for key in map(str.upper, _known_keys((section,))):
            names[f"{section.upper()}_{key}"] = names[key] = prefix + key
    for variable in sorted(environment):
        if (
            not variable.startswith(ENVIRONMENT_PREFIX)
            or variable.startswith(sections)
            or variable in _OTHER_VARIABLES
            or _is_service_link(variable, environment[variable])
        ):
            continue
        if variable.startswith(f"{ENVIRONMENT_PREFIX}MODELS_"):
            hint = "settings of models stand in the file that --config names"
        else:
            close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, n=1)
            hint = f"did you mean {names[close[0]]}?" if close else f"they begin with {', '.join(sections)}"
        _logger.warning("ignored %s, which is no setting; %s", variable, hint)


def _is_service_link(variable: str, value: str) -> bool:
    """Whether Kubernetes made this variable. A PORT that somebody set has a number for its value."""
    is_url = variable.endswith("_PORT") and _LINK_URL.fullmatch(value) is not None
    return is_url or _LINK_NAME.search(variable) is not None


def _from_text(annotation: Any, text: str) -> object:
    """The text as the type that the setting has; as it is where it is none, for the whole check to refuse."""
    try:
        return TypeAdapter(annotation).validate_strings(text, strict=False)
    except ValidationError:
        return text


def _put(values: dict[str, Any], key: tuple[str, ...], value: object) -> None:
    table = values
    for part in key[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # the file has something else there: the check names it
        table = inner
    table[key[-1]] = value


def _explain(detail: ErrorDetails, origins: Mapping[tuple[str, ...], str]) -> str:
    location = tuple(str(part) for part in detail["loc"])
    origin = next(
        (origins[location[:end]] for end in range(len(location), -1, -1) if location[:end] in origins), ""
    )
    where = f"{origin}: " if origin else ""
    dotted = ".".join(location)
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{where}unknown key {dotted}; {hint}"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(detail["input"], dict) or detail["type"] == "missing":
        return f"{where}{dotted}: {message}"
    return f"{where}{dotted}: {message}; got {detail['input']!r}"


def _known_keys(path: tuple[str, ...]) -> list[str]:
    """The keys of the table at that path."""
    table: Any = Settings
    for depth, part in enumerate(path):
        if path[0] == "models" and depth == 1:
            table = ModelSection
        elif part != "models":
            table = table.model_fields[part].annotation
    return sorted(table.model_fields)
