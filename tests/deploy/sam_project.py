"""The project as `sam` sees it, in a folder of its own, and the commands that a person would type there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support import tools

PARTS = ("template.yaml", "samconfig.toml", "LICENSE", "README.md", "src", "events")


class SamFailedError(Exception):
    """A command of sam ended with an error."""


class SamProject:
    """A copy of the project. Commands run the real command line, with the project's own samconfig.toml."""

    def __init__(self, folder: Path, account: Mapping[str, str]) -> None:
        """`account` are the variables by which AWS's tools find the account to deploy to."""
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
        programs = (tools.sam().parent, tools.uv().parent, tools.lambda_python().parent)
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        self._environment = {**inherited, **account, "PATH": path, "SAM_CLI_TELEMETRY": "0"}
        for part in PARTS:
            copy = shutil.copytree if (tools.PROJECT / part).is_dir() else shutil.copy
            copy(tools.PROJECT / part, folder / part)

    def build(self) -> str:
        """Build, and return what sam said."""
        return self.run("build")

    def deploy(self, stack: str, parameters: Mapping[str, object], *, template: Path | None = None) -> str:
        """Deploy what was built, or another built template; return what sam said."""
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        # sam looks for its configuration beside the template.
        config = str(self.folder / "samconfig.toml")
        chosen = () if template is None else ("--template-file", str(template), "--config-file", config)
        return self.run(
            "deploy", "--stack-name", stack, "--no-confirm-changeset", *chosen, "--parameter-overrides", *overrides
        )

    def delete(self, stack: str) -> str:
        return self.run("delete", "--stack-name", stack, "--no-prompts", "--region", "eu-west-1")

    def run(self, *arguments: str) -> str:
        """Run sam, and return its output.

        Raises:
            SamFailedError: it ended with an error; the message is its output.
        """
        command = [str(tools.sam()), *arguments]
        program = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if program.returncode:
            raise SamFailedError(program.stdout)
        return program.stdout

    def built_with(self, name: str, *changes: tuple[str, str], template: Path | None = None) -> Path:
        """Return the built template, or another, with some of its text changed.

        It lies beside the built one, whose path to the bundle is relative.
        """
        text = (template or self.built_template()).read_text()
        for before, after in changes:
            if text.count(before) != 1:
                message = f"{before!r} is in the template {text.count(before)} times"
                raise ValueError(message)
            text = text.replace(before, after)
        changed = self.built_template().with_name(f"{name}.yaml")
        changed.write_text(text)
        return changed

    def built_template(self) -> Path:
        return self.folder / ".aws-sam" / "build" / "template.yaml"
