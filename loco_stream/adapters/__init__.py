"""Estimators of this package in the form that other libraries expect.

Each module needs the library that it is named after, so nothing is imported here.
"""

from __future__ import annotations
