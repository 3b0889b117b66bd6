"""Whatever a person sets, a project file keeps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.effects import registry
from studio.core.optim.settings import PARAMS, FitSettings
from studio.core.params import Param, ParamSet
from studio.core.project import Effects, Project, load_project, save_project
from studio.core.scene import Scene

_FAR = 1e30
"""Stands for a range without end."""


def values_of(param: Param) -> st.SearchStrategy[Any]:
    """Legal values of a parameter."""
    low, high = max(param.low, -_FAR), min(param.high, _FAR)
    number = st.floats(low, high, allow_nan=False)
    if param.kind == "bool":
        return st.booleans()
    if param.kind == "choice":
        return st.sampled_from(param.choices)
    if param.kind == "int":
        return st.integers(int(low), int(high))
    if param.kind in ("color", "vec3"):
        return st.tuples(number, number, number)
    return number


def some_of(params: tuple[Param, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={param.name: values_of(param) for param in params})


@settings(max_examples=25, deadline=None)
@given(
    fit=some_of(PARAMS),
    effects=st.fixed_dictionaries({name: some_of(effect.params) for name, effect in registry().items()}),
    on=st.fixed_dictionaries({name: st.booleans() for name in registry()}),
    name=st.text(max_size=20),
    view=st.dictionaries(
        st.text(max_size=5), st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()
    ),
)
def test_settings_and_effects_come_back_as_they_were(
    fit: dict[str, Any], effects: dict[str, Any], on: dict[str, bool], name: str, view: dict[str, Any]
) -> None:
    chosen = FitSettings(fit, preset="quick", help=name)
    wanted = {key: ParamSet(key, registry()[key].params, values).as_dict() for key, values in effects.items()}
    project = Project(name, Scene(), settings=chosen, effects=Effects(wanted, on), view=view)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.studio"
        save_project(project, path)
        found = load_project(path)
    assert found.settings.as_dict() == chosen.as_dict()
    assert (found.settings.preset, found.settings.help) == ("quick", name)
    assert found.effects.values == wanted
    assert found.effects.on == on
    assert found.name == name
    assert found.notes == []
    finite = {key: value for key, value in view.items() if not _infinite(value)}
    assert {key: found.view[key] for key in finite} == finite


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and value in (float("inf"), float("-inf"))
