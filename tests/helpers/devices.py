"""Devices to write to; root gets copies, as code that replaced one would harm the machine."""

from __future__ import annotations

import os
import stat

import pytest

MINOR = {"null": 3, "full": 7}


def device(folder, name):
    """Return the path of a device, or skip the test if there is none."""
    if not os.path.exists(f"/dev/{name}"):
        pytest.skip(f"there is no /dev/{name}")
    if os.geteuid() != 0:
        return f"/dev/{name}"  # in a folder that this user cannot change
    path = folder / f"{name}.device"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, MINOR[name]))
        with open(path, "wb"):
            pass
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    return str(path)
