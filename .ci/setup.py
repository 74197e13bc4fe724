"""Set up the tools of this project in the git-ignored folder `.tools/`; nothing is installed outside it.

    python3 .ci/setup.py dev                      make the tools named, or fail
    python3 .ci/setup.py --if-possible sam ...    go on without those that cannot be had here, unless CI is set
    python3 .ci/setup.py --missing                name the tools that could not be had, with the reason

Runs before anything is installed, so only the standard library may be imported. A tool is made again when what it is
made from has changed; otherwise a second call costs milliseconds.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"

UV = TOOLS / "uv" / "bin" / "uv"
UV_VERSION = "0.13.8"

Command = Sequence[str | Path]

OLDEST_ALERTMANAGER = (0, 25)
"""What Debian 12 ships; the oldest version that the tests were written against."""


class UnavailableError(Exception):
    """A tool cannot be made on this machine; the message says why in one line."""


def main() -> int:
    arguments = parse_arguments()
    if arguments.missing:
        return report_missing()
    must = not arguments.if_possible or "CI" in os.environ
    for name in arguments.tools:
        if not must and missing_lately(name):
            continue
        try:
            make(name)
        except UnavailableError as reason:
            note_missing(name, str(reason))
            print(f"setup: {'no' if must else 'going on without'} {name}: {reason}", file=sys.stderr)
            if must:
                return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Set up this project's tools in .tools/")
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(RECIPES))
    parser.add_argument("--if-possible", action="store_true", help="a tool that cannot be had is no error (unless CI)")
    parser.add_argument("--missing", action="store_true", help="name the tools that could not be had")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.tools if name not in RECIPES]:
        parser.error(f"unknown tool: {', '.join(unknown)}")
    return arguments


def make(name: str) -> None:
    folder = TOOLS / name
    folder.mkdir(parents=True, exist_ok=True)
    with only_one_at_a_time():
        made_from, wanted = folder / ".made-from", fingerprint(name)
        if made_from.exists() and made_from.read_text() == wanted and (folder / PROOFS[name]).exists():
            return
        made_from.unlink(missing_ok=True)
        print(f"setup: making .tools/{name} ...", flush=True)
        started = time.monotonic()
        RECIPES[name](folder)
        made_from.write_text(wanted)
        missing_note(name).unlink(missing_ok=True)
        print(f"setup: .tools/{name} made in {time.monotonic() - started:.0f} s", flush=True)


def fingerprint(name: str) -> str:
    """Everything that a tool depends on: the recipes, the pins, the interpreter, and the place (scripts hold it)."""
    pins = REQUIREMENTS.get(name)
    parts = [Path(__file__).read_bytes(), str(TOOLS).encode(), platform.machine().encode()]
    if pins:
        parts += [(ROOT / pins).read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Let two calls of make that run at once wait for each other."""
    with (TOOLS / ".setup-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- tools that could not be had ---------------------------------------------------------------------------------


def missing_note(name: str) -> Path:
    return TOOLS / f"{name}.missing"


def note_missing(name: str, reason: str) -> None:
    TOOLS.mkdir(exist_ok=True)
    missing_note(name).write_text(reason + "\n")


def missing_lately(name: str) -> bool:
    """Whether it was tried within the hour: a download that fails may take ten seconds each time."""
    note = missing_note(name)
    return note.exists() and time.time() - note.stat().st_mtime < 3600


def report_missing() -> int:
    """Print the tools that are missing; 1 if there are any in CI, where nothing may be missing."""
    notes = sorted(TOOLS.glob("*.missing"))
    for note in notes:
        tool = note.name.removesuffix(".missing")
        print(f"NOT TESTED HERE: what needs {tool}, which could not be set up: {note.read_text().strip()}")
    return 1 if notes and "CI" in os.environ else 0


# --- recipes -----------------------------------------------------------------------------------------------------


def make_environment(folder: Path, pins: str, *, interpreter: str) -> None:
    """Make or bring up to date a virtual environment that holds exactly what the pins say."""
    make_uv()
    python = folder / "bin" / "python"
    if python_version(python) != python_version(interpreter):
        run([UV, "venv", "--quiet", "--clear", "--relocatable", "--no-project", "--python", interpreter, folder])
    sync: Command = [UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, ROOT / pins]
    # Compiled here once: the Lambda runtime's start is measured, and tests run these programs many times.
    run([*sync, "--compile-bytecode"])


def python_version(interpreter: str | Path) -> str:
    """Version and build, or nothing if there is no such interpreter."""
    return output_of([interpreter, "-c", "import sys; print(sys.version)"])


def make_uv() -> None:
    """Install the fast package installer with pip, which knows this machine's own package index."""
    if "uv" in output_of([UV, "--version"]):
        return
    pip: Command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    target: Command = ["--quiet", "--target", UV.parent.parent, "--upgrade", "--root-user-action", "ignore"]
    try:
        run([*pip, "install", *target, f"uv=={UV_VERSION}"])
    except UnavailableError as failure:
        if not (found := shutil.which("uv")):
            raise UnavailableError(f"it takes pip for {sys.executable}, or uv on PATH ({failure})") from None
        UV.parent.mkdir(parents=True, exist_ok=True)
        UV.unlink(missing_ok=True)
        UV.symlink_to(found)


def make_dev(folder: Path) -> None:
    make_environment(folder, REQUIREMENTS["dev"], interpreter=sys.executable)


def make_sam(folder: Path) -> None:
    make_environment(folder, REQUIREMENTS["sam"], interpreter=sys.executable)
    if platform.system() == "Linux":
        take_runtime_emulator(folder)
    else:
        note_missing("aws-lambda-rie", "AWS's runtime emulator is a Linux program")


def take_runtime_emulator(folder: Path) -> None:
    """Take AWS's runtime interface emulator out of the SAM CLI, which ships it for its own images."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    for shipped in folder.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"):
        shutil.copyfile(shipped, folder / "bin" / "aws-lambda-rie")
        (folder / "bin" / "aws-lambda-rie").chmod(0o755)
        return
    raise UnavailableError(f"the SAM CLI has no runtime emulator for {platform.machine()}")


def make_ministack(folder: Path) -> None:
    make_environment(folder, REQUIREMENTS["ministack"], interpreter=sys.executable)


def make_lambda_runtime(folder: Path) -> None:
    make_uv()
    make_environment(folder, REQUIREMENTS[folder.name], interpreter=find_python(folder.name.removeprefix("lambda-")))


def find_python(version: str) -> str:
    """Find this minor version of Python on PATH or with pyenv, or else let uv download it."""
    named = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [named] if named else []
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)]
    for candidate in candidates:
        # A shim of pyenv is on PATH for each version that is installed, but works only for the chosen ones.
        if output_of([candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip() == version:
            return candidate
    return download_python(version)


def download_python(version: str) -> str:
    try:
        run([UV, "python", "install", "--quiet", "--no-bin", "--install-dir", TOOLS / "python", version])
    except UnavailableError:
        message = f"no python{version} on PATH, none of pyenv's, and uv could not download one"
        raise UnavailableError(message) from None
    found = sorted((TOOLS / "python").glob(f"cpython-{version}.*/bin/python{version}"))
    return str(found[-1])


def make_alertmanager(folder: Path) -> None:
    program = folder / "alertmanager"
    program.unlink(missing_ok=True)
    for name in ("alertmanager", "prometheus-alertmanager"):
        if (found := shutil.which(name)) and alertmanager_version(Path(found)) >= OLDEST_ALERTMANAGER:
            program.symlink_to(found)
            return
    unpack_debian_package("prometheus-alertmanager", folder / "package")
    make_relocatable(folder / "package", program)
    if alertmanager_version(program) < OLDEST_ALERTMANAGER:
        raise UnavailableError("Debian's prometheus-alertmanager does not run here, or is too old")


def make_relocatable(package: Path, program: Path) -> None:
    """Let Debian's Alertmanager find its message templates where the package was unpacked.

    It opens them by an absolute path that is part of the program. A path of the same length that means "here" takes its
    place, and a script starts it there; its own flags must therefore name files by absolute paths.
    """
    binary = package / "usr/bin/prometheus-alertmanager"
    compiled_in = b"/usr/share/prometheus/alertmanager"
    binary.write_bytes(binary.read_bytes().replace(compiled_in, b"./" * (len(compiled_in) // 2)))
    program.write_text(f'#!/bin/sh\ncd "{package}{compiled_in.decode()}" && exec "{binary}" "$@"\n')
    program.chmod(0o755)


def alertmanager_version(program: Path) -> tuple[int, ...]:
    found = re.search(r"alertmanager, version (\d+)\.(\d+)", output_of([program, "--version"]))
    return tuple(int(part) for part in found.groups()) if found else ()


def unpack_debian_package(package: str, folder: Path) -> None:
    """Download a package and unpack it, without installing it: no root needed, and no service is started."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UnavailableError(f"no {package} on PATH, and no apt-get to download Debian's package")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        try:
            run(["apt-get", "--quiet", "download", package], cwd=work)
        except UnavailableError:
            download_with_fresh_lists(package, work)
        shutil.rmtree(folder, ignore_errors=True)
        run(["dpkg-deb", "--extract", next(work.glob("*.deb")), folder])


def download_with_fresh_lists(package: str, work: Path) -> None:
    """Fetch package lists into a folder of our own: the machine's are missing or old, and may not be ours to update."""
    for part in ("lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True)
    own = ["-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}/cache", "-o", "APT::Sandbox::User="]
    run(["apt-get", "--quiet", *own, "update"], cwd=work)
    run(["apt-get", "--quiet", *own, "download", package], cwd=work)


# --- running programs --------------------------------------------------------------------------------------------


def run(command: Command, *, cwd: Path = ROOT) -> None:
    """Run a program; a failure is told by the last line that it printed."""
    environment = installer_environment()
    done = subprocess.run(
        command, check=False, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        last_words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1].strip()
        raise UnavailableError(f"{Path(command[0]).name} failed: {last_words}")


def output_of(command: Command) -> str:
    """Both streams of a program that may fail, or not even be there."""
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout + done.stderr


def installer_environment() -> Mapping[str, str]:
    """The environment, with pip's choice of package index handed on to uv, which does not read it."""
    environment = dict(os.environ)
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if theirs in environment:
            environment.setdefault(ours, environment[theirs])
    return environment


RECIPES: Mapping[str, Callable[[Path], None]] = {
    "dev": make_dev,
    "sam": make_sam,
    "ministack": make_ministack,
    "lambda-3.13": make_lambda_runtime,
    "alertmanager": make_alertmanager,
}

REQUIREMENTS: Mapping[str, str] = {
    "dev": "requirements-dev.txt",
    "sam": "requirements-sam.txt",
    "ministack": "requirements-ministack.txt",
    "lambda-3.13": "requirements-runtime.txt",
}

PROOFS: Mapping[str, str] = {
    "dev": "bin/pytest",
    "sam": "bin/sam",
    "ministack": "bin/ministack",
    "lambda-3.13": "bin/python",
    "alertmanager": "alertmanager",
}
"""A file of each tool that is gone when the tool, or the interpreter or system program that it rests on, is gone."""

if __name__ == "__main__":
    sys.exit(main())
