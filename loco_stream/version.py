"""The version of this package; the only place that says it."""

__all__ = ["__version__"]

__version__ = "0.3.0"
