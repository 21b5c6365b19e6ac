"""Definitions of connectors, from which URLs, help, `doctor` and the docs are generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from inspect import getdoc, signature
from typing import Any

from loco_stream.connectors._base.options import TEXT, OptionType, options_of
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.errors import SourceError

# Parameters that `open_source` and `open_sink` set by other means than options of the URL.
_HIDDEN = frozenset({"endless", "limits", "secret"})


@dataclass(frozen=True)
class Extra:
    """An optional library.

    Parameters
    ----------
    name
        Name of the extra: ``pip install 'loco-stream[NAME]'``.
    requirement
        What the extra installs; ``pyproject.toml`` has the same text.
    module
        The module to import.

    Examples
    --------
    >>> Extra("demo", "demo-lib>=1.0", "demo_lib.client").load()
    Traceback (most recent call last):
    loco_stream.errors.SourceError: demo-lib is not installed: pip install 'loco-stream[demo]' ...
    """

    name: str
    requirement: str
    module: str

    @property
    def distribution(self) -> str:
        """Name of the library in the package index."""
        return self.requirement.partition(">=")[0]

    def load(self, module: str | None = None) -> Any:
        """Import the library, or one of its modules.

        Raises
        ------
        SourceError
            It is not installed.
        """
        try:
            return import_module(module or self.module)
        except (ImportError, RuntimeError) as e:  # pylsl without its binary raises the latter
            raise SourceError(
                f"{self.distribution} is not installed: "
                f"pip install 'loco-stream[{self.name}]' ({e})"
            ) from None


@dataclass(frozen=True)
class Connector:
    """Definition of a connector: a source or sink that URLs name.

    Parameters
    ----------
    scheme
        Scheme of its URLs.
    build
        Class derived from `Source` or `Sink`. Its parameters are the options of the URL. If the
        first one is `host`, URLs are ``SCHEME://HOST:PORT/NAME``, and the second one takes NAME;
        else the first one takes all text between scheme and options.
    forms
        The ways to write its URLs, where what the user fills in is in capitals; each with the
        `guarantee` of the source or sink that it opens.
    about
        What it is, in one line. By default the first line of the docstring of `build`.
    extra
        Optional library that it needs.
    fixed
        Arguments that the scheme implies.
    aliases
        Second names of options; ``"not NAME"`` stands for the opposite of a 0/1 option.
    hidden
        Parameters that are not options of the URL.
    free_options
        Whether the URL may have options that `build` does not declare.
    secret
        Environment variable with the password or token; ``<VARIABLE>_FILE`` may name its file.
    keeps_query
        Whether unknown options remain part of the address.
    keeps_scheme
        Whether the address includes the scheme.
    needs_name
        Whether NAME in ``SCHEME://HOST:PORT/NAME`` must not be empty.
    is_variant
        Whether it is left out of tables, as the one without TLS stands for both.
    """

    scheme: str
    build: Any
    forms: Mapping[str, str]
    about: str = ""
    extra: Extra | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    free_options: bool = False
    secret: str = ""
    keeps_query: bool = False
    keeps_scheme: bool = False
    is_variant: bool = False
    needs_name: bool = True

    @property
    def example(self) -> str:
        """An example URL."""
        return next(iter(self.forms))

    @property
    def summary(self) -> str:
        """What it is, in one line without markup."""
        line = self.about or (getdoc(self.build) or "").partition("\n")[0]
        return line.rstrip(".").replace("`", "")

    @cached_property
    def options(self) -> dict[str, OptionType]:
        """Types of the options of the URL, by name."""
        if self.free_options:
            return {}
        first, second, *_ = signature(self.build).parameters
        address = {first, second, "port"} if self.has_server else {first}
        options = options_of(self.build, {*_HIDDEN, *address, *self.fixed, *self.hidden})
        for alias, name in self.aliases.items():
            options[alias] = options[name.removeprefix("not ")]
        if self.secret:
            options["secret_file"] = TEXT
        return options | self.limit_options

    @property
    def limit_options(self) -> dict[str, OptionType]:
        """Bounds on what other processes may send, where they can."""
        return options_of(Limits) if "limits" in options_of(self.build) else {}

    @property
    def has_server(self) -> bool:
        """Whether the URL names a host."""
        return next(iter(signature(self.build).parameters)) == "host"


def with_tls(connector: Connector) -> tuple[Connector, Connector]:
    """Return a connector without TLS, and the same behind TLS under its scheme with an s."""
    scheme = f"{connector.scheme}s"
    urls = {url.replace(connector.scheme, scheme, 1): g for url, g in connector.forms.items()}
    secure = replace(connector, scheme=scheme, forms=urls, fixed={**connector.fixed, "tls": True})
    plain = replace(connector, fixed={**connector.fixed, "tls": False})
    return plain, replace(secure, is_variant=True)
