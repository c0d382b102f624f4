"""Pydantic builds our models at their first use, for a quick start: here each is built, so that no fault waits for it."""

import importlib
from pathlib import Path

import pydantic
import pytest

ROOT = Path(__file__).parents[2]


def modules_with_models():
    for path in sorted((ROOT / "shared").rglob("*.py")):
        text = path.read_text()
        if "pydantic" in text or "(Form)" in text:
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def models(module_name):
    module = importlib.import_module(module_name)
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, pydantic.BaseModel) and each.__module__ == module_name
    ]


@pytest.mark.parametrize("module_name", list(modules_with_models()))
def test_every_model_of_a_module_can_be_built(module_name):
    for model in models(module_name):
        model.model_rebuild(force=True, raise_errors=True)
        assert model.__pydantic_complete__


def test_the_models_are_found():
    assert sum(len(models(name)) for name in modules_with_models()) > 60
