"""Do wheel and sdist hold what is installed or needed to build, and nothing else?"""

from __future__ import annotations

import email.parser
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

import ntkseq

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ntkseq").rglob("*") if path.is_file()}
SOURCES = {name for name in SOURCES if "__pycache__" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    pytest.importorskip("hatchling", reason="what builds the wheel; pip install -e '.[test]' brings it")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_types_and_its_templates_and_nothing_else(built: pathlib.Path):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = email.parser.Parser().parsestr(
            archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        )
        entry = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert wheel.name == f"ntkseq-{ntkseq.__version__}-py3-none-any.whl"
    assert {name for name in names if ".dist-info/" not in name} == SOURCES
    assert {"ntkseq/py.typed", "ntkseq/reports/sheet.html.jinja"} <= SOURCES
    assert {name for name in SOURCES if not name.endswith((".py", ".jinja"))} == {"ntkseq/py.typed"}  # nothing stray
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert metadata["Version"] == ntkseq.__version__ and metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11" and metadata["Description-Content-Type"] == "text/markdown"
    assert {"study", "flax", "equinox", "store"} <= set(metadata.get_all("Provides-Extra", []))
    assert "ntkseq = ntkseq.cli:main" in entry


@pytest.mark.slow
def test_the_sdist_holds_what_its_tests_ask_for_and_no_leftovers(built: pathlib.Path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= SOURCES
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "constraints.txt"} <= names
    assert {"tests/conftest.py", "docs/index.md", "examples/certificate.py", "benchmarks/__main__.py"} <= names
    left = re.compile(r"(^|/)(__pycache__|\.\w+_cache|\.git|\.hypothesis|[\w-]+-report|site|dist|build)(/|$)")
    assert [name for name in names if left.search(name) or name.endswith((".pyc", ".orig", ".rej"))] == []


def test_version_and_licence_stand_alike_wherever_they_stand():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version, licence = (re.search(rf"^{name}: (\S+)$", cited, re.MULTILINE) for name in ("version", "license"))
    assert version is not None and version[1] == project["version"] == ntkseq.__version__
    assert licence is not None and licence[1] == project["license"]
