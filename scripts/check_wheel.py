"""Builds the wheel, installs it into a fresh environment, and imports every package of it from elsewhere."""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a command; ends the program when it fails."""
    print("+", *(Path(part).name if isinstance(part, Path) else part for part in command), flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def main() -> None:
    """Raises CalledProcessError where the wheel does not build, install, or import."""
    in_venv = ROOT / ".venv/bin/uv"
    uv = str(in_venv) if in_venv.exists() else shutil.which("uv") or "uv"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    with tempfile.TemporaryDirectory(prefix="agentflow-wheel-") as name:
        folder = Path(name)
        run(uv, "build", "--wheel", "--quiet", "--out-dir", folder / "dist")
        (wheel,) = (folder / "dist").glob("*.whl")
        run(uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--quiet", "-o", folder / "requirements.txt")
        run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
        python = folder / "venv/bin/python"
        run(uv, "pip", "install", "--quiet", "--python", python, "-r", folder / "requirements.txt")
        run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        program = (
            f"import importlib, pathlib\n"
            f"for name in {packages!r}:\n"
            f"    module = importlib.import_module(name)\n"
            f"    assert 'site-packages' in module.__path__[0], module.__path__\n"
            f"from agentflow.schema_migration import migrations_folder\n"
            f"assert list(migrations_folder().glob('versions/*.py')), 'no migrations in the wheel'\n"
            f"from agentflow.process_exit import exit_process\n"
            f"exit_process(0)\n"
        )
        run(python, "-I", "-c", program, cwd=elsewhere)
        run(folder / "venv/bin/agentctl", "--help", cwd=elsewhere)
    print(f"the wheel installs, and its {len(packages)} packages import")


if __name__ == "__main__":
    main()
