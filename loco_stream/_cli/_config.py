"""Options from a TOML file and from the environment.

A file has one key per option, named as on the command line without the dashes. Keys before the
first table hold for every command, those in a table ``[run]``, ``[serve]``, ``[watch]`` or
``[fleet]`` for that command alone. The tables ``[set]``, ``[limit]``, ``[threshold]`` and
``[cost]`` hold the pairs of those options.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from warnings import warn

import click

from loco_stream._cli._option_group import PATH, given, headings_of
from loco_stream._text import did_you_mean, reason_of
from loco_stream.errors import ConfigError, LocoStreamWarning

COMMANDS = ("run", "serve", "watch", "fleet")
_PREFIX = "LOCO_STREAM_"
# variables that are no options: those of the library and its benchmarks, and secrets
_SERVICES = ("INFLUX", "KAFKA", "MQTT", "NATS", "OPCUA", "REDIS")
_SECRETS = ("HTTP_SECRET", *(f"{name}_PASSWORD" for name in _SERVICES))
_VARIABLES = (
    *("CACHE_DIR", "DATA", "STATE_BYTES", "V01"),
    *_SECRETS,
    *(f"{name}_FILE" for name in _SECRETS),
)
_PAIRS = ("set", "limit", "threshold", "cost")  # options that a table may hold
_OWN = frozenset({"config", "print_config", "help"})

Config = dict[str, Any]


class ConfiguredCommand(click.Command):
    """A command whose options may come from ``--config FILE`` and ``LOCO_STREAM_*`` as well.

    The command line precedes the environment, and the environment precedes the file.

    `arguments`: help of the arguments, by name.
    """

    arguments: Mapping[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if parameter.expose_value and not parameter.envvar:
                parameter.envvar = variable_of(_key(parameter))
        self.params += [
            click.Option(
                ["--config"],
                type=PATH,
                metavar="FILE.toml",
                is_eager=True,
                expose_value=False,
                envvar=f"{_PREFIX}CONFIG",
                callback=_load,
                help="Read options from a file; `loco-stream config check FILE` checks it.",
            ),
            click.Option(
                ["--print-config"],
                is_flag=True,
                help="Print the configuration file of this command line, and exit.",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; a missing one may be due to a mistyped variable."""
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            warn_of_variables()
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their groups."""
        headings = headings_of(self.callback)
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name = parameter.name or ""
                term, text = record
                described = (term, text or self.arguments.get(name, ""))
                sections.setdefault(headings.get(name, "Options"), []).append(described)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, or print its configuration."""
        if ctx.params.pop("print_config", False):
            with ctx:
                click.echo(as_toml(_given_values(ctx)), nl=False)
            return None
        return super().invoke(ctx)


def variable_of(option: str) -> str:
    """Return the variable of the environment that gives an option, named without dashes."""
    return _PREFIX + option.replace("-", "_").upper()


def warn_of_variables() -> None:
    """Warn of variables of the environment that are named like options, and that nothing reads."""
    names = [name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX)]
    if set(names) <= {*_VARIABLES}:  # importing all commands takes time
        return
    options = [str(p.envvar) for name in COMMANDS for p in command_named(name).params]
    known = {name.removeprefix(_PREFIX) for name in options} | {*_VARIABLES}
    host = "SERVICE_HOST"  # which Kubernetes gives to every pod for each service, beside others
    services = [name.removesuffix(host) for name in names if name.endswith(host)]
    of_services = tuple(f"{name}{what}" for name in services for what in ("SERVICE_", "PORT"))
    for name in names:
        if name not in known and not name.startswith(of_services):
            warn(
                f"the environment variable {_PREFIX}{name} is ignored: there is no option "
                f"{name!r}{did_you_mean(name, known)}",
                LocoStreamWarning,
                stacklevel=2,
            )


def command_named(name: str) -> click.Command:
    """Return one of `COMMANDS`."""
    module = "_fleet_run" if name == "fleet" else name  # `fleet` itself is a group
    found: click.Command = import_module(f"loco_stream._cli.{module}").command
    return found


def _load(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Make the values in a file the defaults of the command."""
    if path is not None and not context.resilient_parsing:
        values = option_values(read_config(path), context.command, path)
        context.default_map = values


def read_config(path: str) -> Config:
    """Return the content of a configuration file.

    Raises `ConfigError` if the file cannot be read or is not TOML.
    """
    try:
        # Windows' editors begin a file with a byte order mark, which TOML does not allow
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason_of(error)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} must be in UTF-8, which byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} must be TOML: {error}") from None


def command_tables(config: Mapping[str, Any]) -> Config:
    """Return the tables of commands by name; `watch` may be an option, too, with a truth value."""
    return {name: config[name] for name in COMMANDS if isinstance(config.get(name), Mapping)}


def option_values(config: Mapping[str, Any], command: click.Command, path: str) -> Config:
    """Return the values of a command's options, by the names of its parameters.

    Raises `ConfigError` if the command has no such option.

    config: content of the file
    command: the command
    path: the file, for error messages
    """
    tables = command_tables(config)
    shared = {name: value for name, value in config.items() if name not in tables}
    own = tables.get(str(command.name), {})
    if command.name in shared:
        raise ConfigError(f"{path}: `{command.name}` must be a table, got {shared[command.name]!r}")
    parameters = {_key(p): p for p in command.params if p.expose_value and p.name not in _OWN}
    values: Config = {}
    for table in (shared, own):
        for name in table:
            if "_" in name and (other := name.replace("_", "-")) in table:
                raise ConfigError(f"{path}: `{other}` must be given once, got {name!r} as well")
    for name, value in {**shared, **own}.items():
        key = name.replace("_", "-")
        if key not in parameters:
            where = f"{command.name}." if name in own else ""
            raise ConfigError(f"{path}: {_unknown(name, where, value, command, parameters)}")
        parameter = parameters[key]
        values[str(parameter.name)] = _value(key, parameter, value, path)
    return values


def _unknown(
    name: str, where: str, value: object, command: click.Command, parameters: Iterable[str]
) -> str:
    """Return that there is no such option, or no such table.

    where: what the name of a table within that of a command begins with
    """
    if isinstance(value, Mapping):
        tables = _PAIRS if where else (*COMMANDS, *_PAIRS)
        known = ", ".join(f"[{where}{table}]" for table in tables)
        near = did_you_mean(name.lower(), tables) or f" (tables: {known})"
        return f"there is no table [{where}{name}]{near}"
    near = did_you_mean(name.replace("_", "-").lower(), parameters)
    return f"`{command.name}` has no option {name!r}{near}"


def _value(key: str, parameter: click.Parameter, value: object, path: str) -> object:
    if isinstance(value, Mapping):
        if key not in _PAIRS:
            raise ConfigError(f"{path}: `{key}` must be a value, got a table")
        return [f"{name}={_text(item)}" for name, item in value.items()]
    if getattr(parameter, "multiple", False):
        values = value if isinstance(value, list) else [value]
        return [_one_value(key, parameter, one, path) for one in values]
    return _one_value(key, parameter, value, path)


def _one_value(key: str, parameter: click.Parameter, value: object, path: str) -> object:
    if isinstance(value, list):
        raise ConfigError(f"{path}: `{key}` must be one value, got a list")
    if not isinstance(value, str | int | float) or "\0" in str(value):  # TOML has dates, too
        raise ConfigError(
            f"{path}: `{key}` must be a number, true, false or a text without null characters, "
            f"got {str(value)!r}"
        )
    is_flag = getattr(parameter, "is_flag", False)
    if is_flag != isinstance(value, bool):
        what = "true or false" if is_flag else "a value other than true and false"
        raise ConfigError(f"{path}: `{key}` must be {what}, got {value!r}")
    if isinstance(value, float) and isinstance(parameter.type, click.types.IntParamType):
        raise ConfigError(f"{path}: `{key}` must be a whole number, got {value!r}")
    return value


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


def _key(parameter: click.Parameter) -> str:
    """Return the name of an option as a key of the file."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    return flags[0].removeprefix("--") if flags else str(parameter.name)


def _given_values(context: click.Context) -> Config:
    """Return the values that are not defaults, by key."""
    values: Config = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        if parameter.expose_value and name not in _OWN and given(name):
            values[_key(parameter)] = context.params[name]
    return values


def as_toml(values: Mapping[str, Any]) -> str:
    """Return values as TOML, with pairs in tables.

    Examples
    --------
    >>> print(as_toml({"seed": 1, "set": ("rule=np",), "sink": ("jsonl:a.jsonl",)}), end="")
    seed = 1
    sink = ["jsonl:a.jsonl"]
    <BLANKLINE>
    [set]
    rule = "np"
    """
    lines = [f"{name} = {_literal(v)}" for name, v in values.items() if name not in _PAIRS]
    for name in _PAIRS:
        if values.get(name):
            pairs = (pair.partition("=") for pair in values[name])
            lines += ["", f"[{name}]", *(f"{_quoted(n)} = {_literal(v)}" for n, _, v in pairs)]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else _literal(name)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value)
