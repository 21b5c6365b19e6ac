"""What is shipped: the declared bounds, and what lies in the wheel and in the sdist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from loco_stream._compiler import portable

ROOT = Path(__file__).parents[1]
PACKAGE = ("loco_stream/", "loco_stream-")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder with an sdist and the wheel that was built from it."""
    if not (ROOT / "Makefile").is_file():
        pytest.skip("not run from a checkout")
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def pins(name):
    return dict(
        line.split("==") for line in (ROOT / "tests" / name).read_text().split() if "==" in line
    )


def bounds(project):
    """Return each declared dependency with its lower bound.

    Those of the checks alone are not looked at.
    """
    extras = project["optional-dependencies"]
    listed = [
        *project["dependencies"],
        *(line for name, lines in extras.items() if name != "check" for line in lines),
    ]
    return dict(
        found.groups() for line in listed if (found := re.match(r"([\w-]+)>=([\w.]+)", line))
    )


def same(a, b):
    """Tell whether two versions are one, 1.5 and 1.5.0 too."""
    return re.sub(r"(\.0)+$", "", a) == re.sub(r"(\.0)+$", "", b)


def test_the_lowest_set_is_what_is_declared(project):
    lowest = pins("constraints-lowest.txt")
    declared = bounds(project)
    # newer ones warn at what the lowest matplotlib and scikit-learn do
    of_a_dependency = {"pyparsing", "scipy"}
    assert set(lowest) - of_a_dependency <= set(declared)
    assert {
        name for name in declared if not same(lowest.get(name, declared[name]), declared[name])
    } == set()
    needed = {re.split("[<>=]", line)[0] for line in project["dependencies"]}
    assert needed <= set(lowest)


def test_every_dependency_is_in_the_tested_set(project):
    tested = {name.lower().replace("_", "-") for name in pins("constraints.txt")}
    assert set(bounds(project)) - tested == set()


@pytest.mark.slow
def test_no_shipped_text_names_a_page_of_the_documentation_which_a_wheel_lacks():
    writers = {"loco_stream/metrics/_keys.py", "loco_stream/dashboard/static/panels.js"}
    found = {
        str(path.relative_to(ROOT)): pages
        for folder in ("loco_stream", "connectors", "demos")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".js", ".html")
        and (pages := re.findall(r"\bdocs/\S+|\b\w+\.md\b", path.read_text()))
    }
    assert set(found) == writers  # whose texts become a page of the documentation


def test_the_wheel_holds_the_package_and_nothing_else(dist):
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if not name.startswith(PACKAGE)] == []
    modules = {name for name in names if name.endswith(".py")}
    on_disk = {
        f"loco_stream/{path.relative_to(root).as_posix()}"
        for root, folder in ((ROOT / "loco_stream", "."), (ROOT, "connectors"), (ROOT, "demos"))
        for path in (root / folder).rglob("*.py")
    }
    assert modules == on_disk
    assert {"loco_stream/py.typed", "loco_stream/dashboard/static/index.html"} <= set(names)


@pytest.mark.slow
def test_a_wheel_is_built_without_a_warning(dist, tmp_path):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(tree)]
    told = subprocess.run(build, capture_output=True, text=True, check=True)
    said = told.stdout + told.stderr
    assert [
        line for line in said.splitlines() if "WARNING" in line or "would be ignored" in line
    ] == []


@pytest.mark.slow
def test_the_sdist_installs_and_its_tests_run(dist, tmp_path):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    there = {path.name for path in tree.iterdir()}
    assert {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "benchmarks",
        "tests",
    } <= there
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, system_site_packages=False)
    python = home / "bin" / "python"
    # The dependencies are those of this environment; the package is the one of the sdist.
    here = next(path for path in map(Path, sys.path) if (path / "numba").is_dir())
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(sdist)], check=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{here}\n")
    (tmp_path / "run").mkdir()
    (tree / "tests").rename(tmp_path / "run" / "tests")
    (tree / "pyproject.toml").rename(tmp_path / "run" / "pyproject.toml")
    done = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "tests/metrics",
            "tests/test_rng.py",
            "tests/test_import.py",
        ],
        cwd=tmp_path / "run",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    sys.platform != "linux" or not portable.targets(), reason="requires Linux on x86-64-v3"
)
def test_a_wheel_with_machine_code_compiles_nothing_and_leaves_nothing(dist, tmp_path):
    (pure,) = dist.glob("*-none-any.whl")
    made = tmp_path / "wheels"
    build = [ROOT / ".ci" / "wheel", pure, made]
    subprocess.run(build, env=os.environ | {"PYTHON": sys.executable}, check=True)
    (wheel,) = made.iterdir()
    assert f"cp{sys.version_info.major}{sys.version_info.minor}-none-manylinux" in wheel.name
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    pip = [home / "bin" / "python", "-m", "pip"]
    cache = tmp_path / "cache"
    environment = os.environ | {"LOCO_STREAM_CACHE_DIR": str(cache), "PYTHONPATH": ""}
    subprocess.run([*pip, "install", "--quiet", wheel], env=environment, check=True)
    loco = home / "bin" / "loco-stream"
    run = subprocess.run(
        [loco, "run", "river:Phishing", "--seed", "1", "--quiet"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert list(cache.rglob("*.nb[ic]")) == []
    doctor = subprocess.run([loco, "doctor"], env=environment, capture_output=True, text=True)
    assert "fits this processor" in doctor.stdout
    uninstall = [*pip, "uninstall", "--quiet", "--yes", "loco-stream"]
    subprocess.run(uninstall, env=environment, check=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    assert not (site / "loco_stream").exists()
