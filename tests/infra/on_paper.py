"""A deployment on paper: main.bicep with parameters, its modules and loops and conditions carried out, nothing sent.

What comes out is every resource with its id, its scope and its body as values, so that a test asks what would be
deployed and not how it is written. Refused: a parameter that is unknown, missing or of another type; a name that is
declared nowhere; a resource used that its condition leaves out; two resources of one id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicep import BicepError, Declared, Source, read
from bicep_values import SUBSCRIPTION, Names, Runtime, path_of, value

MAIN = Path(__file__).parents[2] / "infra" / "main.bicep"
_SKIPPED = object()
_LIMITS: Mapping[str, Callable[[Any, Any], bool]] = {
    "allowed": lambda given, listed: given in listed,
    "minLength": lambda given, least: len(given) >= least,
    "maxLength": lambda given, most: len(given) <= most,
    "minValue": lambda given, least: given >= least,
    "maxValue": lambda given, most: given <= most,
}
_PYTHON = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}


@dataclass(kw_only=True)
class Resource:
    """One resource of the deployment. `scope` is the id of what it is deployed to or on."""

    type: str
    version: str
    id: str
    name: str
    scope: str
    body: dict[str, Any]
    existing: bool
    file: str
    symbol: str
    line: int
    inner: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """A property, as another resource asks for it."""
        if name in {"id", "name", "type"}:
            return getattr(self, name)
        if name == "apiVersion":
            return self.version
        return _kept(self.body.get(name), f"{self.id}.{name}") if not self.existing else Runtime(f"{self.id}.{name}")

    def nested(self, name: str) -> Any:
        """A resource declared inside this one."""
        return self.inner[name]

    @property
    def properties(self) -> dict[str, Any]:
        return self.body.get("properties", {})

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.symbol}"


class _Kept(dict[str, Any]):
    """An object of a resource: what the file gives, and what only Azure knows."""

    def __init__(self, given: Mapping[str, Any], place: str) -> None:
        super().__init__(given)
        self.place = place

    def __missing__(self, name: str) -> Runtime:
        return Runtime(f"{self.place}.{name}")

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return _kept(super().__getitem__(name), f"{self.place}.{name}")


def _kept(given: Any, place: str) -> Any:
    if given is None:
        return Runtime(place)
    return _Kept(given, place) if isinstance(given, dict) else given


class Module:
    """One file, with its parameters, deployed to a scope."""

    def __init__(self, deployment: Deployment, source: Source, parameters: Mapping[str, Any], scope: str) -> None:
        self.deployment = deployment
        self.source = source
        self.scope = scope
        self._values: dict[str, Any] = {}
        self._asked: list[str] = []
        self._given(parameters)

    def _given(self, parameters: Mapping[str, Any]) -> None:
        declared = {each.name: each for each in self.source.of("param")}
        if unknown := parameters.keys() - declared.keys():
            raise BicepError(f"{self.source.path.name}: no parameter {', '.join(sorted(unknown))}")
        for name, each in declared.items():
            given = parameters.get(name)
            if given is None and each.value is None and not each.type.endswith("?"):
                raise BicepError(f"{self.source.path.name}:{each.line}: parameter {name} is not given")
            if name in parameters:
                self._values[name] = self._fitting(each, given)

    def _fitting(self, each: Declared, given: Any) -> Any:
        plain = each.type.removesuffix("?")
        wanted = list if plain.endswith("[]") else _PYTHON.get(plain)
        if wanted and given is not None and (not isinstance(given, wanted) or (wanted is int and given is True)):
            raise BicepError(f"{self.source.path.name}:{each.line}: {each.name} is no {each.type}: {given!r}")
        for _, name, arguments in each.decorators:
            fits = _LIMITS.get(name)
            if fits and given is not None and not fits(given, value(arguments[0], self.names(each))):
                raise BicepError(f"{self.source.path.name}:{each.line}: {each.name} may not be {given!r} ({name})")
        return given

    def names(self, each: Declared, /, **local: Any) -> Names:
        path = self.source.path
        here = f"{path.name}:{each.line}"
        return Names(outer=self.named, folder=path.parent, here=here, group=self._group, local=local)

    def _group(self) -> Mapping[str, Any]:
        name = self.scope.split("/")[-1]
        return {"id": self.scope, "name": name, "location": Runtime(f"{self.scope}.location")}

    def named(self, name: str) -> Any:
        """What a name of the file stands for. Raises BicepError."""
        if name in self._values:
            return self._found(name)
        if name not in self.source.declared:
            raise BicepError(f"{self.source.path.name}: {name} is not declared")
        if name in self._asked:
            raise BicepError(f"{self.source.path.name}: {' needs '.join([*self._asked, name])}")
        self._asked.append(name)
        try:
            self._values[name] = self._made(self.source.declared[name])
        finally:
            self._asked.pop()
        return self._found(name)

    def _found(self, name: str) -> Any:
        return _Left(f"{self.source.path.name}: {name}") if self._values[name] is _SKIPPED else self._values[name]

    def _made(self, each: Declared) -> Any:
        if each.kind in {"param", "var"}:
            return value(each.value, self.names(each)) if each.value else None
        one = self._module if each.kind == "module" else self._resource
        if each.loop is None:
            return one(each, self.names(each))
        item, index, listed = each.loop
        found = []
        for number, one_item in enumerate(value(listed, self.names(each))):
            local = {item: one_item, **({index: number} if index else {})}
            found.append(one(each, self.names(each, **local)))
        return [_Left(f"{self.source.path.name}: {each.name}") if made is _SKIPPED else made for made in found]

    def _module(self, each: Declared, names: Names) -> Any:
        if each.condition is not None and not value(each.condition, names):
            return _SKIPPED
        body = {key[1]: inner for key, inner in each.value[1:]}
        if unknown := body.keys() - {"name", "scope", "params", "dependsOn"}:
            raise BicepError(f"{names.here}: a module has no {', '.join(unknown)}")
        scope = self._scope(value(body["scope"], names)) if "scope" in body else self.scope
        path = (self.source.path.parent / each.target).resolve()
        source = self.deployment.source(path)
        where = "resourceGroup" if "/resourceGroups/" in scope else "subscription"
        if source.target_scope != where:
            raise BicepError(f"{names.here}: {path.name} is for a {source.target_scope}, deployed to a {where}")
        given = value(body["params"], names) if "params" in body else {}
        if "dependsOn" in body:
            value(body["dependsOn"], names)
        module = Module(self.deployment, source, {k: v for k, v in given.items() if v is not None}, scope)
        self.deployment.modules.append((str(value(body["name"], names)) if "name" in body else "", module))
        return module

    def get(self, name: str) -> Any:
        """A module's outputs."""
        if name == "name":
            return self.source.path.stem
        if name != "outputs":
            raise BicepError(f"{self.source.path.name}: .{name} of a module")
        return _Outputs(self)

    def output(self, name: str) -> Any:
        """One output. Raises BicepError."""
        if name not in self.source.outputs:
            raise BicepError(f"{self.source.path.name}: no output {name}")
        each = self.source.outputs[name]
        return value(each.value, self.names(each))

    def _scope(self, given: Any) -> str:
        return str(given["id"] if isinstance(given, dict) else given.get("id"))

    def _resource(self, each: Declared, names: Names, parent: Resource | None = None) -> Any:
        if each.condition is not None and not value(each.condition, names):
            return _SKIPPED
        kind, _, version = each.target.partition("@")
        if parent is not None and parent.type.split("/")[0] != kind.split("/")[0]:
            kind, version = f"{parent.type}/{kind}", version or parent.version
        body = {key[1]: inner for key, inner in each.value[1:] if key[0] == "string"}
        if parent is None and "parent" in body:
            parent = value(body["parent"], names)
            if not isinstance(parent, Resource) or parent.type != kind.rpartition("/")[0]:
                raise BicepError(f"{names.here}: the parent of a {kind} is {parent}")
        name = str(value(body["name"], names))
        scope, identity = self._place(kind, name, body, parent, names)
        made = Resource(
            type=kind,
            version=version,
            id=identity,
            name=name,
            scope=scope,
            body={},
            existing=each.existing,
            file=self.source.path.name,
            symbol=each.name,
            line=each.line,
        )
        rest = [pair for pair in each.value[1:] if pair[0][1:] not in {("parent",), ("scope",), ("dependsOn",)}]
        made.body.update(value(("object", *rest), names))
        if "dependsOn" in body:
            value(body["dependsOn"], names)
        for inner in each.inner:
            made.inner[inner.name] = self._resource(inner, self.names(inner, **names.local), made)
        self.deployment.add(made)
        return made

    def _place(
        self, kind: str, name: str, body: Mapping[str, Any], parent: Resource | None, names: Names
    ) -> tuple[str, str]:
        """The scope and the id."""
        try:
            if parent is not None:
                return parent.scope, f"{parent.id}/{kind.rpartition('/')[2]}/{name}"
            scope = self._scope(value(body["scope"], names)) if "scope" in body else self.scope
            if kind == "Microsoft.Resources/resourceGroups":
                return scope, f"{scope}/resourceGroups/{name}"
            return scope, scope + path_of(kind, name.split("/"))
        except ValueError as error:
            raise BicepError(f"{names.here}: {error}") from None

    def carry_out(self) -> None:
        """Give every declaration its value. Raises BicepError."""
        for name in self.source.declared:
            self.named(name)
        for name in self.source.outputs:
            self.output(name)


@dataclass(frozen=True)
class _Left:
    """What a condition left out: to use it is a mistake."""

    place: str

    def get(self, name: str) -> Any:
        if name == "id":
            return Runtime(f"{self.place} (left out)")  # an id is known without the resource
        raise BicepError(f"{self.place} is left out by its condition, and its .{name} is asked for")


@dataclass(frozen=True)
class _Outputs:
    module: Module

    def get(self, name: str) -> Any:
        return self.module.output(name)


class Deployment:
    """All of it. `overlay` replaces the text of files, by name: a test changes a copy to see its rule fail."""

    def __init__(
        self, parameters: Mapping[str, Any], *, overlay: Mapping[str, str] | None = None, main: Path = MAIN
    ) -> None:
        self.overlay = overlay or {}
        self.resources: list[Resource] = []
        self.existing: list[Resource] = []
        self.modules: list[tuple[str, Module]] = []
        self.read: dict[str, Source] = {}
        self.main = Module(self, self.source(main.resolve()), parameters, SUBSCRIPTION)
        self.main.carry_out()
        done = 0
        while done < len(self.modules):
            self.modules[done][1].carry_out()
            done += 1
        self.outputs = {name: self.main.output(name) for name in self.main.source.outputs}

    def source(self, path: Path) -> Source:
        """A file, or what stands in its place."""
        if not path.exists():
            raise BicepError(f"{path.name} does not exist")
        self.read[path.name] = read(path, self.overlay.get(path.name))
        return self.read[path.name]

    def add(self, made: Resource) -> None:
        """Note a resource. Raises BicepError when there is one of its id."""
        if made.existing:
            self.existing.append(made)
            return
        if twin := next((each for each in self.resources if each.id == made.id), None):
            raise BicepError(f"{made}: the same resource as {twin}: {made.id}")
        self.resources.append(made)

    def of(self, kind: str) -> list[Resource]:
        """The resources of a type, as deployed."""
        return [each for each in self.resources if each.type.lower() == kind.lower()]

    def children(self, parent: Resource, kind: str) -> Iterator[Resource]:
        """The resources of a type below another."""
        return (each for each in self.of(kind) if each.id.startswith(parent.id + "/"))
