"""Files with passwords and tokens are read only if nobody else can read them."""

from __future__ import annotations

import pytest

from loco_stream.connectors._base.secrets import password, read_private
from loco_stream.errors import ConfigError


@pytest.fixture
def credential(tmp_path, monkeypatch):
    """A file as `LoadCredential=` of systemd places it: its access list shows as group read."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o750)
    path = folder / "mqtt"
    path.write_text("secret\n")
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return path


def test_a_credential_of_systemd_is_read(credential, monkeypatch):
    monkeypatch.setenv("LOCO_STREAM_MQTT_PASSWORD_FILE", str(credential))
    assert password("MQTT") == "secret"


def test_a_credential_that_everybody_can_read_is_refused(credential):
    credential.chmod(0o444)
    with pytest.raises(ConfigError, match="can be read by others"):
        read_private(credential)


def test_the_group_may_read_no_file_outside_of_the_credentials(credential, tmp_path):
    outside = tmp_path / "mqtt"
    outside.write_text("secret\n")
    outside.chmod(0o440)
    for path in (outside, credential.parent / ".." / "mqtt"):
        with pytest.raises(ConfigError, match="can be read by others"):
            read_private(path)
