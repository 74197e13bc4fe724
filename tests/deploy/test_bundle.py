"""What `src/Makefile` packs: the same bytes everywhere, bytecode that Lambda accepts, nothing that never runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import tools

UNCHECKED_HASH = b"\x01\x00\x00\x00"
"""The flags of bytecode that is taken as it is. By default it carries a date, and sam packs files with another."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources in which a tool has been at work."""
    copy = shutil.copytree(tools.PROJECT / "src", tmp_path_factory.mktemp("project") / "src")
    cache = copy / "alert_sync" / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    (cache / "of_this_machine.json").write_text("{}")
    return copy


@pytest.fixture(scope="module")
def bundle(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that uv filled, with bytecode for one runtime."""
    folder = tmp_path_factory.mktemp("by-uv")
    _build(source, folder, path=_path(tools.uv().parent, tools.lambda_python().parent))
    return folder


@pytest.fixture
def path_with_pip(tmp_path: Path) -> str:
    """Return a PATH on which there is a Python with pip, and no uv."""
    subprocess.run([tools.lambda_python(), "-m", "venv", tmp_path / "with-pip"], check=True)
    return _path(tmp_path / "with-pip" / "bin")


def _path(*first: Path) -> str:
    others = (folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "uv").exists())
    return os.pathsep.join([*map(str, first), *others])


def _build(source: Path, artifact: Path, *, path: str, bytecode_for: str = "3.13") -> str:
    """Build as sam does, and return what the Makefile said."""
    environment = {**os.environ, "PATH": path, "ARTIFACTS_DIR": str(artifact), "BYTECODE_FOR": bytecode_for}
    command = ["make", "--makefile", "Makefile", "build-ReconcilerFunction"]
    program = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stderr
    return program.stdout


def _contents(folder: Path) -> Mapping[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _magic_number() -> bytes:
    show = "import importlib.util, sys; sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER)"
    return subprocess.run([tools.lambda_python(), "-c", show], capture_output=True, check=True).stdout


def test_pip_and_uv_make_the_same_bytes(bundle: Path, source: Path, path_with_pip: str, tmp_path: Path) -> None:
    by_pip = tmp_path / "by-pip"
    by_pip.mkdir()

    _build(source, by_pip, path=path_with_pip)

    assert _contents(by_pip) == _contents(bundle)


def test_every_module_has_bytecode_that_the_runtime_takes_unchecked(bundle: Path) -> None:
    heads = {
        module: (module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc").read_bytes()[:8]
        for module in bundle.rglob("*.py")
    }

    assert set(heads.values()) == {_magic_number() + UNCHECKED_HASH}


def test_tracebacks_name_the_folder_of_the_function(bundle: Path) -> None:
    bytecode = (bundle / "alert_sync" / "__pycache__" / "handler.cpython-313.pyc").read_bytes()

    assert b"/var/task/alert_sync/handler.py" in bytecode
    assert str(bundle).encode() not in bytecode


def test_nothing_is_packed_that_never_runs(bundle: Path) -> None:
    names = _contents(bundle).keys()

    assert [name for name in names if name.endswith((".so", ".pyi")) or "tests" in Path(name).parts] == []
    assert [name for name in names if any(part.startswith(".") for part in Path(name).parts)] == []
    assert not (bundle / "botocore").exists()
    assert not (bundle / "prometheus_client" / "django").exists()
    assert sum(map(len, _contents(bundle).values())) < 8_000_000


def test_what_is_left_of_the_packages_suffices_for_every_module(bundle: Path) -> None:
    """Also for those that are only loaded when somebody asks."""
    own = [path.relative_to(bundle).with_suffix("") for path in (bundle / "alert_sync").rglob("[a-z]*.py")]
    names = ", ".join(".".join(path.parts) for path in own)
    environment = {"PYTHONPATH": str(bundle), "PYTHONDONTWRITEBYTECODE": "1", "AWS_DEFAULT_REGION": "eu-west-1"}

    program = subprocess.run(
        [tools.lambda_python(), "-c", f"import {names}"], env=environment, capture_output=True, text=True, check=False
    )

    assert "alert_sync.asking.prometheus_text" in names
    assert (program.returncode, program.stderr) == (0, "")


def test_packages_of_the_bundle_are_those_of_the_lock(bundle: Path, source: Path) -> None:
    lock = [line.split()[0] for line in (source / "requirements.txt").read_text().splitlines() if "==" in line]
    wanted = [line.strip() for line in (source / "requirements.in").read_text().splitlines() if line[:1].isalpha()]
    packed = [folder.name.removesuffix(".dist-info") for folder in bundle.glob("*.dist-info")]

    assert sorted(lock) == sorted(wanted)
    assert sorted(packed) == sorted(pin.replace("-", "_").replace("==", "-") for pin in lock)


def test_missing_interpreter_is_named_and_the_bundle_is_made_without_it(source: Path, tmp_path: Path) -> None:
    said = _build(source, tmp_path, path=_path(tools.uv().parent), bytecode_for="3.99")

    assert "WARNING" in said
    assert "No interpreter found for: python3.99" in said
    assert list(tmp_path.rglob("*.pyc")) == []
    assert (tmp_path / "alert_sync" / "handler.py").exists()
