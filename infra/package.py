"""Makes what is deployed, from the lock alone: `make package`. One package serves all three apps.

.dist/app is the folder (azd takes it), .dist/retention.zip the same as a file (the workflow takes that), and
.dist/requirements.txt the part of requirements.lock that is in it. The wheels are those of Python 3.13 on Linux x86_64,
whatever this machine is, each checked against its hash. What a machine adds of its own (scripts with its paths, times,
bytecode) is left out: the same commit makes the same content everywhere, and the digest that is printed says so.

A package that is there already, made from the same files and unaltered, is left as it is.

Refused: a file beside the code that is no Python, a wheel for another platform, and a lock that lacks something which
a distribution in it asks for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = ("function_app.py", "host.json", "policy.yaml")
PACKAGES = ("functions", "shared")
SITE = Path(".python_packages", "lib", "site-packages")
"""Where the platform's Python worker looks for packages."""

PYTHON = "3.13"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
TARGET = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
    "extra": "",
}
"""What the platform answers to an environment marker. pip would ask this machine's Python instead."""

_NATIVE = ("cpython-313-x86_64-linux-gnu", "abi3")
_OF_THIS_MACHINE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """No package was made, or one that must not be deployed: the text says what to change."""


def locked(text: str) -> dict[NormalizedName, str]:
    """The lock's entries that the platform installs: canonical name to the entry, with its hashes on further lines.

    Raises PackageError for an entry that is not `name==version` with a hash.
    """
    entries: dict[NormalizedName, str] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for entry in "\n".join(lines).replace("\\\n", " ").splitlines():
        head, *hashes = entry.split(" --hash=")
        requirement = Requirement(head.strip())
        pins = list(requirement.specifier)
        if len(pins) != 1 or pins[0].operator != "==" or not hashes:
            raise PackageError(f"requirements.lock: {requirement.name} is not pinned with a hash; run `make lock`")
        if requirement.marker is None or requirement.marker.evaluate(TARGET):
            parts = (f"{requirement.name}{requirement.specifier}", *(f"--hash={each.strip()}" for each in hashes))
            entries[canonicalize_name(requirement.name)] = " \\\n    ".join(parts)
    return entries


def _is_cache(path: Path) -> bool:
    return "__pycache__" in path.parts


def copy_app(root: Path, app: Path) -> None:
    """Copy the app's own files. Raises PackageError for a file in its packages that is no Python."""
    app.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(root / name, app / name)
    for source in (path for package in PACKAGES for path in sorted((root / package).rglob("*"))):
        if source.is_dir() or _is_cache(source):
            continue
        if source.suffix != ".py":
            raise PackageError(
                f"{source.relative_to(root)}: is no Python, and is not packaged: it does not belong here"
            )
        target = app / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def install(requirements: Path, site: Path) -> None:
    """Install what is locked, for the platform, without what is this machine's. Raises PackageError."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--no-compile", "--implementation=cp"]
    command += [
        "--ignore-requires-python"
    ]  # pip would compare with this machine's Python: check() asks for the target's
    command += [f"--python-version={PYTHON}", *(f"--platform={each}" for each in PLATFORMS)]
    done = subprocess.run([*command, f"--target={site}", f"--requirement={requirements}"], check=False)  # noqa: S603 - pip itself
    if done.returncode:
        raise PackageError("pip could not install what is locked: see above")
    shutil.rmtree(site / "bin", ignore_errors=True)
    for name in _OF_THIS_MACHINE:
        for path in site.glob(f"*.dist-info/{name}"):
            path.unlink()


def check(site: Path, entries: Mapping[NormalizedName, str]) -> None:
    """Compare what is installed with the lock and with what it asks for itself. Raises PackageError."""
    found = {canonicalize_name(each.name): each for each in distributions(path=[str(site)])}
    if set(found) != set(entries):
        raise PackageError(f"installed is not what is locked: {sorted(set(found) ^ set(entries))}")
    lacking = sorted(text for each in found.values() for text in _lacking(each, found))
    if lacking:
        raise PackageError(f"the lock lacks {'; '.join(lacking)}: run `make lock`")
    refused = sorted(
        f"{each.name} (Python {wants})"
        for each in found.values()
        for wants in each.metadata.get_all("Requires-Python") or ()
        if not SpecifierSet(wants).contains(f"{PYTHON}.0")
    )
    if refused:
        raise PackageError(f"not for Python {PYTHON}: {', '.join(refused)}")
    foreign = [path.name for path in site.rglob("*.so*") if not any(tag in path.name for tag in _NATIVE)]
    if foreign:
        raise PackageError(f"made for another platform, or for an unknown one: {sorted(foreign)}")


def _lacking(of: Distribution, found: Mapping[NormalizedName, Distribution]) -> Iterator[str]:
    for requirement in map(Requirement, of.requires or ()):
        if requirement.marker is not None and not requirement.marker.evaluate(TARGET):
            continue
        there = found.get(canonicalize_name(requirement.name))
        if there is None or not requirement.specifier.contains(there.version, prereleases=True):
            yield f"{requirement} ({of.name} asks for it)"


def digest(named: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over the names and contents of files, in the order given."""
    whole = hashlib.sha256()
    for name, path in named:
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def files(app: Path) -> list[tuple[str, Path]]:
    """Every file of the package with its name in the archive, sorted by that."""
    return sorted((path.relative_to(app).as_posix(), path) for path in app.rglob("*") if path.is_file())


def archive(app: Path, target: Path) -> None:
    """Write the folder as a ZIP file with fixed times and modes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name, path in files(app):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this is: the modes below are Unix's
            entry.external_attr = 0o100644 << 16
            out.writestr(entry, path.read_bytes())


def sources(root: Path) -> list[tuple[str, Path]]:
    """Every file that the package is made of, the lock and this program included."""
    own = [(name, root / name) for name in (*FILES, "requirements.lock")]
    code = (path for package in PACKAGES for path in (root / package).rglob("*"))
    own += [(path.relative_to(root).as_posix(), path) for path in code if path.is_file() and not _is_cache(path)]
    return sorted([*own, ("infra/package.py", Path(__file__))])


def build(root: Path, dist: Path) -> str:
    """Make the package in `dist`, if it is not there as it should be; return its digest. Raises PackageError."""
    app, made = dist / "app", dist / "made.json"
    inputs = digest(sources(root))
    if made.is_file() and json.loads(made.read_text()) == {"from": inputs, "content": digest(files(app))}:
        return digest(files(app))
    shutil.rmtree(dist, ignore_errors=True)
    copy_app(root, app)
    entries = locked((root / "requirements.lock").read_text(encoding="utf-8"))
    requirements = dist / "requirements.txt"
    requirements.write_text("".join(f"{entries[name]}\n" for name in sorted(entries)), encoding="utf-8")
    install(requirements, app / SITE)
    check(app / SITE, entries)
    archive(app, dist / "retention.zip")
    content = digest(files(app))
    made.write_text(json.dumps({"from": inputs, "content": content}))
    return content


def main() -> int:
    """Make the package, say what it is. Exit codes: 0 made, 1 not."""
    arguments = argparse.ArgumentParser(description="Make the deployable package from requirements.lock.")
    arguments.add_argument("--dist", type=Path, default=ROOT / ".dist", help="where to; what is there is removed")
    dist = arguments.parse_args().dist
    try:
        content = build(ROOT, dist)
    except PackageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sizes = [path.stat().st_size for _, path in files(dist / "app")]
    packed = (dist / "retention.zip").stat().st_size
    sys.stdout.write(
        f"{dist / 'app'}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; retention.zip {packed / 1e6:.1f} MB\n"
        f"content sha256:{content}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
