"""What is deployed: the lock is that of requirements.txt, and the package holds the app whole and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra import package

ROOT = Path(__file__).parents[2]
REQUIREMENTS = [
    Requirement(line.partition(" #")[0])
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYTHONS = ("3.11", "3.12", "3.13")
NATIVE = "x.cpython-313-x86_64-linux-gnu.so"

# ---------------------------------------------------------------- the lock


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_is_locked_inside_its_range_on_every_python(
    requirement: Requirement, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        package, "TARGET", {**package.TARGET, "python_version": python, "python_full_version": f"{python}.0"}
    )
    wanted = requirement.marker is None or requirement.marker.evaluate({"python_version": python})
    same = [each for each in REQUIREMENTS if each.name == requirement.name and each is not requirement]
    entry = package.locked(LOCK).get(canonicalize_name(requirement.name))
    if not wanted:
        assert same or entry is None
        return
    assert entry is not None, "run `make lock`"
    [pin] = list(Requirement(entry.splitlines()[0].removesuffix(" \\")).specifier)
    assert requirement.specifier.contains(pin.version), "run `make lock`"


def test_every_entry_has_sha256_hashes_and_no_address() -> None:
    entries = package.locked(LOCK)
    assert len(entries) >= len(REQUIREMENTS) - 1
    for entry in entries.values():
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line.strip(" \\")) for line in entry.splitlines()[1:])
    assert "://" not in LOCK
    assert "-index" not in LOCK.replace("--hash", "").split("\n", 2)[2]
    assert "find-links" not in LOCK


@pytest.mark.parametrize("text", ["azure-core>=1\n", "azure-core==1.0\n", "azure-core==1.0,<2 --hash=sha256:00\n"])
def test_an_entry_that_is_no_pin_with_a_hash_is_refused(text: str) -> None:
    with pytest.raises(package.PackageError, match="azure-core"):
        package.locked(text)


# ---------------------------------------------------------------- the package


def wheel(folder: Path, name: str, *, requires: str = "", python: str = ">=3.13", file: str = "") -> str:
    """Write a wheel into a folder; return its line of a lock."""
    tag = "cp313-cp313-manylinux_2_28_x86_64" if file else "py3-none-any"
    path = folder / f"{name}-1.0-{tag}.whl"
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: {python}\n"
    meta += f"Requires-Dist: {requires}\n" if requires else ""
    parts = {
        f"{name}/__init__.py": "",
        f"{name}-1.0.dist-info/METADATA": meta,
        f"{name}-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{name}-1.0.dist-info/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        **({f"{name}/{file}": "native"} if file else {}),
    }
    record = f"{name}-1.0.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as out:
        for part, text in parts.items():
            out.writestr(part, text)
        lines = [f"{part},sha256={digest(text)},{len(text)}" for part, text in parts.items()]
        out.writestr(record, "\n".join([*lines, f"{record},,"]) + "\n")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small app with an empty lock, and a folder of wheels that pip takes instead of an index."""
    root = tmp_path / "root"
    for name in (
        *package.FILES,
        "functions/__init__.py",
        "shared/deep/more.py",
        "shared/__pycache__/x.pyc",
        "cli/no.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "requirements.lock").write_text("")
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return root


def build(tree: Path, *wheels: str) -> Path:
    (tree / "requirements.lock").write_text("".join(wheels))
    package.build(tree, tree.parent / "dist")
    return tree.parent / "dist"


def test_the_package_holds_the_app_and_the_platforms_wheels_and_nothing_of_this_machine(tree: Path) -> None:
    wheels = tree.parent / "wheels"
    lines = (wheel(wheels, "one", requires="two>=1", file=NATIVE), wheel(wheels, "two"))
    skipped = f'three==1.0 ; python_version < "3.13" --hash=sha256:{"0" * 64}\n'
    dist = build(tree, *lines, skipped)
    site = package.SITE.as_posix()
    expected = {
        *package.FILES,
        "functions/__init__.py",
        "shared/deep/more.py",
        f"{site}/one/__init__.py",
        f"{site}/one/{NATIVE}",
        *(f"{site}/one-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt")),
        f"{site}/two/__init__.py",
        *(f"{site}/two-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt")),
    }
    assert {name for name, _ in package.files(dist / "app")} == expected
    with zipfile.ZipFile(dist / "retention.zip") as archive:
        assert set(archive.namelist()) == expected
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_files_make_the_same_archive_wherever_they_lie(tree: Path, tmp_path: Path) -> None:
    line = wheel(tmp_path / "wheels", "one")
    first = (build(tree, line) / "retention.zip").read_bytes()
    tree.rename(tmp_path / "elsewhere")
    package.build(tmp_path / "elsewhere", tmp_path / "again")
    assert (tmp_path / "again" / "retention.zip").read_bytes() == first


def test_a_package_that_is_right_is_left_and_one_that_was_touched_is_made_anew(tree: Path) -> None:
    dist = build(tree)
    (dist / "retention.zip").write_text("mark")
    package.build(tree, dist)
    assert (dist / "retention.zip").read_text() == "mark"
    (dist / "app" / "host.json").write_text("altered")
    package.build(tree, dist)
    assert (dist / "app" / "host.json").read_text() == "host.json"
    (tree / "shared" / "new.py").write_text("new")
    package.build(tree, dist)
    assert (dist / "app" / "shared" / "new.py").read_text() == "new"


def test_a_wheel_that_is_not_the_one_locked_is_refused(tree: Path) -> None:
    line = wheel(tree.parent / "wheels", "one")
    wheel(tree.parent / "wheels", "one", python=">=3.12")
    with pytest.raises(package.PackageError, match="pip could not"):
        build(tree, line)


def test_a_lock_that_lacks_what_a_distribution_asks_for_is_refused(tree: Path) -> None:
    wheels = tree.parent / "wheels"
    with pytest.raises(package.PackageError, match="two>=1"):
        build(tree, wheel(wheels, "one", requires="two>=1"))
    with pytest.raises(package.PackageError, match="two>=2"):
        build(tree, wheel(wheels, "one", requires="two>=2"), wheel(wheels, "two"))
    build(tree, wheel(wheels, "one", requires='two; python_version < "3.13"'))


def test_a_distribution_for_another_python_or_platform_is_refused(tree: Path) -> None:
    wheels = tree.parent / "wheels"
    with pytest.raises(package.PackageError, match="one"):
        build(tree, wheel(wheels, "one", python="<3.13"))
    with pytest.raises(package.PackageError, match="cpython-311"):
        build(tree, wheel(wheels, "one", file="x.cpython-311-x86_64-linux-gnu.so"))


def test_a_file_beside_the_code_is_refused_and_not_left_out_in_silence(tree: Path) -> None:
    (tree / "shared" / "template.html").write_text("")
    with pytest.raises(package.PackageError, match=r"shared/template\.html"):
        build(tree)


LOAD = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
sys.path.insert(0, "APP")
import function_app, functions, shared
for top in (functions, shared):
    for found in pkgutil.walk_packages(top.__path__, top.__name__ + "."):
        importlib.import_module(found.name)
print(json.dumps({name: getattr(each, "__file__", None) for name, each in sys.modules.items() if name not in before}))
"""


def test_all_of_the_app_loads_from_the_package_and_needs_only_what_is_locked(tmp_path: Path) -> None:
    """On this Python, with this environment's distributions: the names of what is imported are what counts."""
    app = tmp_path / "app"
    package.copy_app(ROOT, app)
    code = LOAD.replace("APP", str(app))
    command = [sys.executable, "-I", "-c", code]
    ran = subprocess.run(command, env={"APP_ROLE": "all"}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    modules = {name: Path(file) for name, file in json.loads(ran.stdout).items() if file}
    ours = {name for name, file in modules.items() if file.is_relative_to(app)}
    assert {"function_app", "functions.ledger", "shared.wiring"} <= ours
    checkout = [
        name for name, file in modules.items() if file.is_relative_to(ROOT) and "site-packages" not in file.parts
    ]
    assert checkout == []
    owners = {str(each.locate_file(file)): each.name for each in distributions() for file in each.files or ()}
    needed = {canonicalize_name(owners[str(file)]) for file in modules.values() if str(file) in owners}
    assert {"azure-servicebus", "azure-functions"} <= needed
    assert needed - set(package.locked(LOCK)) == set()


def test_what_core_tools_leave_out_is_all_but_the_app_and_its_requirements() -> None:
    ignored = [line for line in (ROOT / ".funcignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = {*package.FILES, *package.PACKAGES, "requirements.txt"}
    for path in ROOT.iterdir():
        assert any(fnmatch(path.name, pattern) for pattern in ignored) != (path.name in kept), path.name
