"""`millstream-build FILE.py -o OUT.wasm`, or `python -m millstream.build`: makes a component of a program. Imports the program
to see what it exports, and has componentize-py put it, the SDK and the interpreter together."""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from millstream import registry

VERSION = "0.1.0"
"""Of the contract."""

HERE = Path(__file__).parent

APP = "millstream_app"
"""The module whose classes componentize-py exports."""


def program_of(file: Path) -> list[str]:
    """Imports the program, and says which interfaces it exports."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is no Python program: its name ends with .py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    if not registry.interfaces():
        raise SystemExit(f"{file} exports nothing: decorate a function with @millstream.filter, @millstream.mapper, …")
    return registry.interfaces()


def world_of(interfaces: list[str]) -> str:
    """The world of a component that exports these."""
    imports = ["context", "log"]
    # What a processor may ask for; timers only where somebody answers for them.
    imports += [name for name, by in (("state", "processor"), ("timers", "on-timer")) if by in interfaces]
    lines = [f"import millstream:udf/{name}@{VERSION};" for name in imports]
    lines += [f"export millstream:udf/{name}@{VERSION};" for name in interfaces]
    return "package millstream:program;\nworld program {\n  " + "\n  ".join(lines) + "\n}\n"


def class_of(interface: str) -> str:
    """The class of `millstream.component` that answers for an interface."""
    return "".join(part.capitalize() for part in interface.split("-"))


def tool() -> str:
    """componentize-py: of this Python, or on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "componentize-py"
    found = str(beside) if beside.exists() else shutil.which("componentize-py")
    if found is None:
        raise SystemExit("componentize-py is missing: pip install 'componentize-py==0.25.1'")
    return found


def build(file: Path, out: Path) -> None:
    """Makes `out` of the program `file`, which may import modules beside it."""
    interfaces = program_of(file)
    with tempfile.TemporaryDirectory() as folder:
        wit, app = Path(folder) / "wit", Path(folder) / "app"
        contract = wit / "deps" / "millstream-udf"
        for made in (contract, app):
            made.mkdir(parents=True)
        (wit / "world.wit").write_text(world_of(interfaces))
        shutil.copy(HERE / "wit" / "udf.wit", contract)
        # Only what a component needs: no caches, and nothing of this module, which is about files and processes.
        shutil.copytree(HERE, app / "millstream", ignore=shutil.ignore_patterns("__pycache__", "build.py", "wit"))
        classes = ", ".join(map(class_of, interfaces))
        (app / f"{APP}.py").write_text(f"import {file.stem}\nfrom millstream.component import {classes}\n")
        command = [tool(), "--quiet", "-d", str(wit), "-w", "program", "componentize", "--stub-wasi"]
        subprocess.run(command + ["-p", str(app), "-p", str(file.parent), APP, "-o", str(out)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="millstream-build", description=__doc__)
    parser.add_argument("file", type=Path, help="the program")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the component")
    given = parser.parse_args()
    try:
        build(given.file.resolve(), given.output.resolve())
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"componentize-py could not make the component (exit code {error.returncode})") from None


if __name__ == "__main__":
    main()
