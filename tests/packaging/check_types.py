"""Runs mypy on the package as it is installed: `python tests/packaging/check_types.py [ARGUMENTS OF MYPY]`.

Beside `neuralvdb` in the tree, `kernels` lies inside it in .build/types, a folder of links that mypy reads.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lay_out(folder: Path) -> None:
    """Makes `folder`/neuralvdb hold links to the package's files, and to the kernels'."""
    package = folder / "neuralvdb"
    package.mkdir(parents=True, exist_ok=True)
    targets = {path.name: path for path in (ROOT / "neuralvdb").iterdir()} | {"kernels": ROOT / "kernels"}
    for link in package.iterdir():
        link.unlink()
    for name, target in targets.items():
        (package / name).symlink_to(target)


def check_types(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs mypy with the settings of pyproject.toml. Its cache lies beside the links."""
    folder = ROOT / ".build" / "types"
    lay_out(folder)
    command = [sys.executable, "-P", "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *arguments]
    return subprocess.run([*command, "neuralvdb"], cwd=folder, capture_output=True, text=True)


if __name__ == "__main__":
    done = check_types(*sys.argv[1:])
    print(done.stdout + done.stderr, end="")
    sys.exit(done.returncode)
