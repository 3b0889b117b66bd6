"""The command line's contract: exit status, one-line errors, generated flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.cli import _run
from studio.core.errors import InputError
from studio.core.scene import Scene
from studio.options import chosen_effects, orbit_camera, parse_size


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """(exit status, what went to stderr)."""
    status = _run(list(args))
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["missing.glb"], ["missing.glb"]),
        (["fit"], ["SOURCE"]),
        (["fit", "nowhere", "--out", "{out}"], ["nowhere"]),
        (["fit", "nowhere", "--out", "{out}", "--steps", "-1"], ["--steps", "-1"]),
        (["fit", "nowhere", "--out", "{out}", "--steps", "many"], ["--steps", "many"]),
        (["fit", "nowhere", "--out", "{out}", "--preset", "superb"], ["superb", "quick, standard, fine"]),
        (["fit", "nowhere", "--out", "{out}", "--optimize", "hair"], ["hair", "vertices"]),
        (["fit", "nowhere", "--out", "{out}", "--device", "tpu"], ["tpu"]),
        (["fit", "nowhere", "--out", "{out}", "--start", "mesh"], ["--mesh FILE"]),
        (["fit", "nowhere", "--out", "{out}", "--mesh", "none.obj"], ["none.obj"]),
        (["fit", "nowhere", "--out", "{out}", "--formats", "glb,stl"], ["stl", "glb, obj, ply"]),
        (["fit", "nowhere", "--out", "{out}", "--frobnicate"], ["--frobnicate"]),
        (["fit", "nowhere", "--out", "{out}", "--representation", "cloud"], ["--representation", "volume"]),
        (["fit", "nowhere", "--out", "{out}", "--representation", "volume", "--resume", "x.y"], ["x.y"]),
        (["render", "none.obj", "--out", "{out}/a.png"], ["none.obj"]),
        (["render", "demo", "--out", "{out}/a.gif"], [".png, .jpg, .jpeg, .exr"]),
        (["render", "demo", "--out", "{out}/a.png", "--size", "big"], ["--size", "big"]),
        (["render", "demo", "--out", "{out}/a.png", "--size", "0x10"], ["--size"]),
        (["render", "demo", "--out", "{out}/a.png", "--camera", "north"], ["--camera", "north"]),
        (["render", "demo", "--out", "{out}/a.png", "--camera", "0,0,-1"], ["distance"]),
        (["render", "demo", "--out", "{out}/a.png", "--effects", "sparkle"], ["sparkle", "pbr"]),
        (["render", "demo", "--out", "{out}/a.png", "--pbr-specular-f0", "7"], ["--pbr-specular-f0", "7"]),
        (["bench", "nothing"], ["nothing", "primitives"]),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    args: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, error = run(capsys, *(a.replace("{out}", str(tmp_path)) for a in args))
    assert status == 2
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    for word in words:
        assert word in error


def test_an_output_that_cannot_be_written_is_bad_input(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("not a folder")
    status, error = run(capsys, "fit", "nowhere", "--out", str(tmp_path / "file" / "out"))
    assert status == 2
    assert "--out" in error


def test_an_unforeseen_error_is_one_line_too(monkeypatch, capsys) -> None:
    monkeypatch.setattr("studio.doctor.examine", lambda: 1 / 0)
    status, error = run(capsys, "doctor")
    assert status == 1
    assert error.count("\n") == 1
    assert "ZeroDivisionError" in error
    assert "Traceback" not in error


def test_doctor_names_what_could_be_installed(monkeypatch, capsys) -> None:
    import importlib.metadata

    from studio import doctor

    def version(name: str) -> str:
        if name in ("rembg", "pycolmap"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    found = doctor._optional()
    assert found.mark == "note"
    assert "mitsuba 1.2" in found.text
    assert "pycolmap, for cameras" in found.text
    assert '"pycolmap>=4.0" "rembg[cpu]"' in found.fix
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "1.2")
    assert doctor._optional().mark == "ok"


def test_effect_flags_reach_the_parameters() -> None:
    chosen = chosen_effects("pbr", {"pbr-specular-f0": 0.08})
    assert list(chosen) == ["pbr"]
    assert chosen["pbr"]["specular_f0"] == 0.08
    assert chosen_effects("", {}) == {}


def test_size_and_camera() -> None:
    assert parse_size("640x480") == (640, 480)
    camera = orbit_camera(Scene(), "90,0,5", 100, 50)
    # Azimuth 90 looks from +X; the empty scene is a unit cube of radius sqrt(3) / 2.
    assert camera.position[0] == pytest.approx(5 * 3**0.5 / 2)
    assert abs(camera.position[2]) < 1e-9
    with pytest.raises(InputError, match="field of view"):
        orbit_camera(Scene(), "0,0,5,179", 100, 50)


def test_help_names_the_generated_flags(capsys) -> None:
    assert _run(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--views-per-step", "--holdout", "--light-fixed-to", "--mask-weight"):
        assert flag in text
