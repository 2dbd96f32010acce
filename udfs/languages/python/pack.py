"""Makes the Python SDK's sdist and, of that, its wheel, and judges what both say of themselves as PyPI does: `pack.py SDK OUT
LOCK`. LOCK names what makes components, in the version that the SDK must ask for. Prints the paths in both, a word before each."""

import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from setuptools import build_meta


def built(hook: str, source: Path, out: Path) -> Path:
    """What a hook of the build backend makes of a project, which it leaves files in. What it tells is told when it fails."""
    here, streams = os.getcwd(), {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as told:
        for number in streams:
            os.dup2(told.fileno(), number)
        os.chdir(source)
        try:
            made, failed = getattr(build_meta, hook)(str(out)), None
        except (Exception, SystemExit) as error:
            made, failed = "", error
        os.chdir(here)
        sys.stdout.flush()
        for number, stream in streams.items():
            os.dup2(stream, number)
        if failed is not None:
            told.seek(0)
            raise SystemExit(f"{told.read().decode(errors='replace')}\n{hook}: {failed}")
    return out / made


def judged(text: bytes, lock: str) -> Metadata:
    """Metadata that a registry takes; the parser refuses what is wrong in itself."""
    metadata = Metadata.from_email(text, validate=True)
    missing = [
        name
        for name in ("summary", "description", "license_expression", "license_files", "keywords", "project_urls", "requires_python")
        if not getattr(metadata, name)
    ]
    if missing:
        raise SystemExit(f"the metadata say nothing of {', '.join(missing)}")
    if metadata.description_content_type is None or not metadata.description_content_type.startswith("text/markdown"):
        raise SystemExit("the description is not said to be Markdown")
    tested = Requirement(re.findall(r"^(componentize-py==\S+)", lock, re.M)[0])
    asked = [each for each in metadata.requires_dist or [] if each.name == tested.name]
    if [(each.specifier, str(each.marker)) for each in asked] != [(tested.specifier, 'extra == "build"')]:
        raise SystemExit(f"the extra `build` asks for {', '.join(map(str, asked))}; what is tested is {tested}")
    return metadata


def main() -> None:
    sdk, out, lock = (Path(word).resolve() for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        shutil.copytree(sdk, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        sdist = built("build_sdist", source, out)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
            paths = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
            stem = sdist.name.removesuffix(".tar.gz")
            told = [archive.extractfile(f"{stem}/PKG-INFO").read()]
        wheel = built("build_wheel", Path(folder) / stem, out)
    print(*(f"sdist {path}" for path in paths), sep="\n")
    with zipfile.ZipFile(wheel) as archive:
        print(*(f"wheel {path}" for path in archive.namelist()), sep="\n")
        told.append(archive.read(f"{stem}.dist-info/METADATA"))
    if len({(each.name, each.version) for each in (judged(text, lock.read_text()) for text in told)}) != 1:
        raise SystemExit("sdist and wheel differ in name or version")


main()
