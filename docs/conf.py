"""Settings of the guide: `make docs` builds it, with warnings as errors and without the network."""

from __future__ import annotations

from loco_stream import __version__

project = "loco_stream"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "loco_stream"
html_copy_source = False

myst_heading_anchors = 3  # so that a link to a heading is checked

napoleon_google_docstring = False
autodoc_mock_imports = ["avalanche", "capymoa", "torch"]  # large, and one needs Java
autodoc_typehints = "none"  # the signature has them
python_use_unqualified_type_names = True  # the modules that define them are private
autodoc_member_order = "bysource"
default_role = "code"  # what docstrings put in backticks
suppress_warnings = ["misc.highlighting_failure"]  # formats of other programs, cut short
