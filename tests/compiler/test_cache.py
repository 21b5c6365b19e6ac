"""Compiled code on disk: where it is kept, what is removed, and that no cache stops a run."""

import os
import shutil
from pathlib import Path

import numba
import pytest

from loco_stream._compiler import cache
from tests.helpers.other_process import ROOT, SPIKES, run_net

CHOSEN = ("NUMBA_CACHE_DIR", "LOCO_STREAM_CACHE_DIR")


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder with the compiled code of one run."""
    folder = tmp_path_factory.mktemp("filled")
    ran = run_net(NUMBA_CACHE_DIR=str(folder))
    assert (ran.spikes, ran.warnings) == (SPIKES, [])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize(
    "damage", [truncated, flipped, lambda content: b"", lambda content: b"no pickle at all"]
)
def test_damaged_files_are_replaced(filled, tmp_path, kind, damage):
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    files = list(tmp_path.rglob(kind))
    assert files
    damaged = {path: damage(path.read_bytes()) for path in files}
    for path, content in damaged.items():
        path.write_bytes(content)
    ran = run_net(NUMBA_CACHE_DIR=str(tmp_path))
    assert (ran.spikes, ran.warnings) == (SPIKES, [])
    assert [path for path, content in damaged.items() if path.read_bytes() == content] == []


@pytest.mark.slow
def test_a_full_disk_is_warned_of_once(tmp_path):
    full = """
import numba.core.caching as c
def save(*args): raise OSError(28, "No space left on device")
c.IndexDataCacheFile.save = save
"""
    ran = run_net(full, NUMBA_CACHE_DIR=str(tmp_path))
    assert ran.spikes == SPIKES
    assert len(ran.warnings) == 1
    assert "compiled code cannot be kept in" in ran.warnings[0]
    assert "No space left on device" in ran.warnings[0]


@pytest.mark.slow
def test_a_folder_below_a_file_is_warned_of_once(tmp_path):
    file = tmp_path / "file"
    file.touch()
    ran = run_net(LOCO_STREAM_CACHE_DIR=str(file / "code"))
    assert ran.spikes == SPIKES
    (warning,) = ran.warnings
    assert "cannot be kept" in warning


@pytest.mark.slow
def test_a_numba_without_its_cache_keeps_nothing():
    missing = "import numba.core.caching as c; del c.CompileResultCacheImpl"
    assert run_net(missing).spikes == SPIKES


# Where


def compiled_in(folder):
    """Return the files of compiled code below a folder with their times of writing."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.nb[ic]")}


@pytest.fixture
def installed(tmp_path):
    """Return a folder with a copy of the package, as a regular install makes it."""
    folder = tmp_path / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "loco_stream", folder / "loco_stream", ignore=ignored)
    return folder


@pytest.mark.slow
def test_nothing_is_written_into_the_package(installed, tmp_path):
    before = sorted(installed.rglob("*"))
    home = tmp_path / "home"
    here = {"HOME": str(home), "XDG_CACHE_HOME": "", "PYTHONPATH": ""}
    ran = run_net(cwd=installed, without=CHOSEN, **here)
    assert (ran.spikes, ran.warnings) == (SPIKES, [])
    assert sorted(installed.rglob("*")) == before
    files = compiled_in(home)
    assert files
    assert run_net(cwd=installed, without=CHOSEN, **here).spikes == SPIKES
    assert compiled_in(home) == files  # read, not written again


@pytest.mark.slow
def test_the_environment_chooses_the_folder(tmp_path):
    ours = tmp_path / "ours"
    numbas = tmp_path / "numbas"
    assert run_net(NUMBA_CACHE_DIR=str(numbas), LOCO_STREAM_CACHE_DIR=str(ours)).spikes == SPIKES
    assert compiled_in(ours)
    assert not compiled_in(numbas)
    assert run_net(NUMBA_CACHE_DIR=str(numbas), without=CHOSEN).spikes == SPIKES
    assert compiled_in(numbas)


@pytest.mark.slow
def test_a_read_only_folder_can_be_read(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "cache")
    files = compiled_in(tmp_path / "cache")
    make_read_only(tmp_path / "cache")
    ran = run_net(as_user=another_user(), LOCO_STREAM_CACHE_DIR=str(tmp_path / "cache"))
    assert (ran.spikes, ran.warnings) == (SPIKES, [])
    assert compiled_in(tmp_path / "cache") == files


ANOTHER = 65533
HOMELESS = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "PYTHONPATH": ""}


def another_user():
    """Return the words of a command that runs as a user who cannot write anywhere, if root runs."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("requires setpriv to run as another user")
    reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", f"--reuid={ANOTHER}", f"--regid={ANOTHER}", "--clear-groups", *reads)


def make_read_only(folder):
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)


@pytest.fixture
def read_only(installed, tmp_path):
    """Return a read-only install, words to run as another user, and a temporary folder."""
    another = another_user()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    make_read_only(installed)
    temporary.chmod(0o777)
    yield installed, another, temporary
    for path in installed.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


@pytest.mark.slow
def test_without_a_home_a_temporary_folder_of_the_users_own_is_used(read_only):
    place, another, temporary = read_only
    arguments = {
        "cwd": place,
        "as_user": another,
        "without": CHOSEN,
        "TMPDIR": str(temporary),
    } | HOMELESS
    ran = run_net(**arguments)
    assert ran.spikes == SPIKES
    assert len(ran.warnings) == 1
    assert f"compiled code is kept in {temporary}" in ran.warnings[0]
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    files = compiled_in(folder)
    assert run_net(**arguments).spikes == SPIKES
    assert files
    assert compiled_in(folder) == files


@pytest.mark.slow
@pytest.mark.parametrize("trap", ["folder of another", "open to all", "link", "no folder at all"])
def test_a_folder_that_others_can_write_to_is_not_used(read_only, trap, tmp_path_factory):
    place, another, temporary = read_only
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = temporary / f"loco-stream-compiled-{ANOTHER if another else os.getuid()}"
    if trap == "folder of another":
        if not another:
            pytest.skip("only the superuser can make folders for others")
        folder.mkdir(mode=0o700)
    elif trap == "open to all":
        folder.mkdir()
        if another:
            os.chown(folder, ANOTHER, ANOTHER)
        folder.chmod(0o777)
    elif trap == "link":
        folder.symlink_to(elsewhere)
    else:
        temporary.chmod(0o555)
    ran = run_net(
        cwd=place,
        as_user=another,
        without=CHOSEN,
        TMPDIR=str(temporary),
        **HOMELESS,
        before="import tempfile; tempfile.tempdir = __import__('os').environ['TMPDIR']",
    )
    assert ran.spikes == SPIKES
    assert len(ran.warnings) == 1
    assert "compiled code is not kept" in ran.warnings[0]
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_cache_folder_in_the_home_that_others_can_write_to_is_not_used(
    tmp_path, monkeypatch, mode
):
    for name in CHOSEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "_temporary_folder", lambda: tmp_path / "own")
    usual = tmp_path / "home" / "loco-stream" / "compiled"
    assert cache.base_folder() == usual
    usual.chmod(mode)
    cache._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match=f"compiled code is kept in {tmp_path / 'own'}"):
        assert cache.base_folder() == tmp_path / "own"


# Old versions


def version(name):
    return f"{name * 12}-numba0.68.1-py311"


def test_old_versions_are_removed_when_a_new_one_is_first_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCO_STREAM_CACHE_DIR", str(tmp_path))
    for age, name in enumerate("abcdef"):
        folder = tmp_path / version(name) / "loco_stream.neurons"
        folder.mkdir(parents=True)
        (folder / "f.nbc").write_bytes(b"x" * 100)
        os.utime(folder.parent, (1e9 - age, 1e9 - age))
    (tmp_path / "own files").mkdir()
    made = cache.version_folder("0123456789ab")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {made.name, "own files", *map(version, "abc")}
    cache.version_folder.cache_clear()
    (tmp_path / version("f")).mkdir()
    assert cache.version_folder("0123456789ab") == made
    assert (tmp_path / version("f")).exists()  # only a new version removes others


def test_old_versions_are_bounded_in_size(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCO_STREAM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_MOST_OLD_BYTES", 150)
    for age, name in enumerate("ab"):
        folder = tmp_path / version(name)
        folder.mkdir()
        (folder / "f.nbc").write_bytes(b"x" * 100)
        os.utime(folder, (1e9 - age, 1e9 - age))
    made = cache.version_folder("123456789abc")
    assert {path.name for path in tmp_path.iterdir()} == {made.name, version("a")}
