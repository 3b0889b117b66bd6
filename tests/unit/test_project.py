"""Project files: what goes in comes out bit for bit, and nothing bad gets in."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.core import project as p
from studio.core.effects import registry
from studio.core.errors import InputError, WorkError
from studio.core.io.cameras_write import save_cameras
from studio.core.io.images import save_png
from studio.core.io.photos import load_photos
from studio.core.optim.messages import HistoryRow, Snapshot
from studio.core.optim.settings import load_preset
from studio.core.params import ParamSet
from studio.core.project_kept import KeptPicture
from studio.core.project_photos import ASSETS, PhotoReference
from studio.core.scene import (
    Camera,
    Light,
    Lighting,
    Material,
    Mesh,
    Photo,
    Reading,
    Scene,
    Similarity,
    look_at,
)
from studio.core.scene.camera import framing_camera
from studio.core.scenes import built_in

PICTURE = b"\x89PNG not looked into"


def textured_mesh(seed: int = 0) -> Mesh:
    """A tetrahedron with every attribute and texture there can be; ORM and occlusion are one image."""
    random = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return random.random(shape, np.float32)

    orm = numbers(4, 8, 3)
    material = Material(
        name="glaze",
        base_color=(0.1, 0.2, 1 / 3),
        perceptual_roughness=0.123456789,
        base_color_texture=numbers(8, 8, 4),
        orm_texture=orm,
        occlusion_texture=orm,
        normal_texture=numbers(2, 2, 3),
        emissive_texture=numbers(1, 1, 3),
        double_sided=True,
    )
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    extras = {"normals": numbers(4, 3), "uvs": numbers(4, 2), "colors": numbers(4, 3)}
    return Mesh(
        numbers(4, 3), faces, **extras, roughness=numbers(4, 1), metallic=numbers(4, 1), material=material
    )


def camera(name: str = "front") -> Camera:
    return Camera(40, 30, 33.3, 33.4, 20.1, 14.9, look_at(np.array([0.3, 0.7, 3.1]), np.zeros(3)), name=name)


def full_project() -> p.Project:
    mesh, settings = textured_mesh(), load_preset("fine")
    settings.set("steps", 77)
    lighting = Lighting(
        [Light("spot", position=(1.1, 2.2, 3.3), inner_angle=7.5), Light("area", name="panel")],
        fixed_to="camera",
    ).with_environment(np.random.default_rng(3).random((8, 16, 3), np.float32))
    scene = Scene(
        [mesh, textured_mesh(5)],
        lighting,
        (0.1, 0.2, 0.3),
        {"pbr": {"specular_f0": 0.05}},
        [camera()],
        "vase",
    )
    snapshot = Snapshot(
        41,
        mesh,
        lighting,
        (0.0, 0.1, 0.2),
        {"total": 0.1, "color": 0.05},
        psnr=math.nan,
        exposure=np.array([1.0, 1.25]),
        view_errors={"r_0": 0.031},
        topology=2,
        cameras={"r_0": camera("r_0")},
    )
    rows = [
        HistoryRow(0, {"total": 0.3}, math.nan, 0.1),
        HistoryRow(1, {"total": 0.2, "mask": 1e-9}, 21.5, 0.25),
    ]
    run = p.RunRecord("paused", 41, 77, snapshot, rows, "/somewhere/step_0000041.safetensors")
    effects = p.Effects({"pbr": {"specular_f0": 0.07}}, {"pbr": True, "ssao": True})
    return p.Project(
        "Vase é 雪",
        scene,
        None,
        settings,
        effects,
        p.Effects({}, {"pbr": False}),
        camera("view"),
        {"mode": "wipe", "wipe": 0.25, "photo": None, "pivot": (0.1, 0.2, 0.3)},
        run,
    )


def same(a: Any, b: Any, where: str = "") -> None:
    """Equal bit for bit, through dataclasses, containers and arrays."""
    assert type(a) is type(b), f"{where}: {type(a)} and {type(b)}"
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, where
        assert a.shape == b.shape, where
        assert a.tobytes() == b.tobytes(), where
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}[{key}]")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}[{i}]")
    elif isinstance(a, float) and math.isnan(a):
        assert math.isnan(b), where
    else:
        assert a == b, where


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    project, path = full_project(), tmp_path / "vase.studio"
    p.save_project(project, path, PICTURE)
    found = p.load_project(path)
    for name in ("name", "scene", "other", "camera", "view", "run"):
        before = getattr(project, name)
        if name == "other":
            assert found.other is not None
            assert found.other.on["pbr"] is False
            continue
        same(before, getattr(found, name), name)
    assert found.settings.as_dict() == project.settings.as_dict()
    assert found.settings.preset == "fine"
    assert found.effects.values["pbr"]["specular_f0"] == 0.07
    assert found.effects.on["ssao"] is True
    assert found.notes == []
    materials = found.scene.meshes[0].material
    assert materials.orm_texture is materials.occlusion_texture, "a shared image is kept and read once"
    assert found.run is not None
    assert found.run.snapshot is not None
    assert found.run.snapshot.mesh.vertices is found.scene.meshes[0].vertices
    # A second round trip writes the same arrays and the same tree, but for the time.
    p.save_project(found, tmp_path / "again.studio")
    first, second = (_parts(path), _parts(tmp_path / "again.studio"))
    assert first[1] == second[1]
    for tree in (first[0], second[0]):
        tree.pop("saved")
        tree.pop("effects")  # the first held but one effect, the second all of the registry
        tree.pop("other")
    assert first[0] == second[0]


def _parts(path: Path) -> tuple[dict[str, Any], bytes]:
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("project.json")), file.read("arrays.safetensors")


def _rewritten(path: Path, change: Any, arrays: bytes | None = None) -> Path:
    """A copy of the project whose tree went through `change`."""
    tree, data = _parts(path)
    tree = change(tree) or tree
    out = path.with_name("changed.studio")
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("project.json", json.dumps(tree))
        file.writestr("arrays.safetensors", data if arrays is None else arrays)
    return out


def test_the_built_in_scenes_round_trip(tmp_path: Path) -> None:
    for name in ("cornell", "bust"):
        scene = built_in(name)
        p.save_project(p.Project(name, scene), tmp_path / f"{name}.studio")
        same(scene, p.load_project(tmp_path / f"{name}.studio").scene, name)


def test_a_list_shows_what_is_in_a_project(tmp_path: Path) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path, PICTURE)
    found = p.summary(path)
    assert (found.name, found.triangles, found.photos, found.step) == ("Vase é 雪", 8, 0, 41)
    assert found.thumbnail == PICTURE
    assert found.saved > 1.7e9


def _set(*path: Any, to: Any) -> Any:
    def change(tree: dict[str, Any]) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("version", to=99), "newer studio.*version 99, this one reads up to 1"),
        (_set("version", to=0), "not a project"),
        (_set("format", to="zip"), "not a project"),
        (_set("name", to=3), "name: expected text, got 3"),
        (_set("scene", to=[]), "scene: expected an object"),
        (_set("scene", "wings", to=1), "scene: there is no 'wings'"),
        (
            _set("scene", "meshes", 0, "vertices", to={"array": "gone"}),
            r"meshes\[0\].vertices: expected an array",
        ),
        (_set("scene", "meshes", 0, "uvs", to={"array": "array0"}), r"meshes\[0\].uvs: has shape \(4, 3\)"),
        (_set("scene", "meshes", 0, "faces", to={"array": "array0"}), r"meshes\[0\].faces: holds float32"),
        (
            _set("scene", "lighting", "lights", 0, "kind", to="laser"),
            "lights.*kind: expected one of directional",
        ),
        (
            _set("scene", "lighting", "lights", 0, "size", to="nan"),
            r"lights\[0\]: holds a number that is NaN",
        ),
        (_set("scene", "background", to=[1, 2]), "background: expected 3 entries, got 2"),
        (_set("settings", "values", "steps", to=-4), "settings: fit: steps must be in"),
        (_set("settings", "values", to=None), "settings.values: expected an object"),
        (_set("effects", "values", "pbr", to={"specular_f0": "much"}), "pbr: specular_f0 must be a number"),
        (_set("effects", "on", "pbr", to=1), "effects.on.pbr: expected true or false"),
        (_set("camera", "width", to=0), None),
        (_set("run", "step", to="many"), "run.step: expected a whole number"),
        (_set("run", "terms", to=["total"]), "run.curves.losses: expected an array of shape"),
        (_set("photos", to={"relative": ""}), "photos: says no place"),
        (_set("photos", to={"relative": "x", "names": 3}), "photos"),
    ],
)
def test_bad_entries_are_refused_by_name(tmp_path: Path, change: Any, words: str | None) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path)
    changed = _rewritten(path, change)
    if words is None:
        p.load_project(changed)  # a camera of the view is only looked at where it is used
        return
    with pytest.raises(InputError, match=words) as caught:
        p.load_project(changed)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(changed))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path)
    whole = path.read_bytes()
    bad = tmp_path / "bad.studio"
    random = np.random.default_rng(1)
    places = [len(whole) // 2, *random.integers(100, len(whole) - 100, 12).tolist()]
    refused = []
    for place in places:
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            p.load_project(bad)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) >= len(places) - 2, "flipped bytes of the contents are found by their checksum"
    assert not any("\n" in line for line in refused)
    for data in (b"", b"PK", whole[: len(whole) // 2], b"not a zip" * 100):
        bad.write_bytes(data)
        for read in (p.load_project, p.summary):
            with pytest.raises(InputError):
                read(bad)
    with pytest.raises(InputError, match="no such file"):
        p.load_project(tmp_path / "gone.studio")
    with pytest.raises(InputError, match="damaged"):
        p.load_project(_rewritten(path, lambda tree: None, b"\xff" * 64))


def test_what_this_version_does_not_know_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path)

    def change(tree: dict[str, Any]) -> None:
        tree["settings"]["values"]["levitation"] = 3
        tree["effects"]["on"]["sparkle"] = True
        tree["effects"]["values"]["pbr"]["shine"] = 1.0
        del tree["settings"]["values"]["seed"]

    found = p.load_project(_rewritten(path, change))
    assert [note.split()[1] for note in found.notes] == ["levitation", "pbr:", "sparkle"]
    assert found.settings["seed"] == 0
    assert found.settings["steps"] == 77


def test_older_versions_migrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path)
    monkeypatch.setattr(p, "VERSION", 3)
    monkeypatch.setattr(
        p,
        "MIGRATIONS",
        {
            1: lambda tree: {**tree, "name": tree["name"] + "!"},
            2: lambda tree: {**tree, "name": tree["name"] + "?"},
        },
    )
    assert p.load_project(path).name == "Vase é 雪!?"
    assert p.summary(path).name == "Vase é 雪!?"
    p.save_project(full_project(), path)
    assert p.load_project(path).name == "Vase é 雪", "a file of the present version is read as it is"


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vase.studio"
    p.save_project(full_project(), path)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(WorkError, match="the disk is full"):
        p.save_project(p.Project("other", Scene()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "no half-written file stays"


def _capture(folder: Path) -> Path:
    """Six photos of a checked pattern with cameras around it, written to disk."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    shots = []
    for i in range(6):
        eye = np.array([3 * math.sin(i), 0.4, 3 * math.cos(i)])
        seen = Camera(16, 12, 20.0, 20.0, 8.0, 6.0, look_at(eye, np.zeros(3)), name=f"r_{i}")
        image = random.random((12, 16, 3), np.float32)
        save_png(folder / f"r_{i}.png", image)

        shots.append(Photo(seen.name, image, seen, path=f"r_{i}.png"))
    save_cameras(folder / "transforms.json", shots, Similarity())
    return folder


def test_photos_are_read_again_as_they_were(tmp_path: Path) -> None:
    folder = _capture(tmp_path / "work" / "photos")
    photos = load_photos(folder, max_size=8, masks="none")
    assert photos.reading == Reading(8, "none")
    path = tmp_path / "work" / "vase.studio"
    p.save_project(p.Project("vase", Scene(), PhotoReference.of(photos)), path)
    reference = p.load_project(path).photos
    assert reference is not None
    again = reference.read()
    same(photos.photos, again.photos)
    same(photos.input_to_world, again.input_to_world)
    assert reference.changes(again) == []
    # Photos and project move together.
    shutil.move(tmp_path / "work", tmp_path / "moved")
    reference = p.load_project(tmp_path / "moved" / "vase.studio").photos
    assert reference is not None
    assert reference.source == tmp_path / "moved" / "photos"
    # The project alone moves: then the photos are where they were.
    (tmp_path / "far" / "away").mkdir(parents=True)
    shutil.copy(tmp_path / "moved" / "vase.studio", tmp_path / "far" / "away" / "vase.studio")
    (tmp_path / "work").mkdir()
    shutil.move(tmp_path / "moved" / "photos", tmp_path / "work" / "photos")
    reference = p.load_project(tmp_path / "far" / "away" / "vase.studio").photos
    assert reference is not None
    assert reference.source == folder


def test_masks_corrected_by_hand_are_kept(tmp_path: Path) -> None:
    photos = load_photos(_capture(tmp_path / "photos"), masks="none")
    mask = np.random.default_rng(1).integers(0, 256, (12, 16)).astype(np.float32) / 255
    photos.photos[2] = dataclasses.replace(photos.photos[2], mask=mask, painted=True)
    path = tmp_path / "vase.studio"
    p.save_project(p.Project("vase", Scene(), PhotoReference.of(photos)), path)
    reference = p.load_project(path).photos
    assert reference is not None
    again = reference.read()
    assert [photo.painted for photo in again.photos] == [False, False, True, False, False, False]
    same(again.photos[2].mask, mask)
    assert again.photos[1].mask is None


def test_missing_photos_are_told_and_pointed_elsewhere(tmp_path: Path) -> None:
    folder = _capture(tmp_path / "photos")
    photos = load_photos(folder)
    path = tmp_path / "vase.studio"
    p.save_project(p.Project("vase", Scene(), PhotoReference.of(photos)), path)
    shutil.move(folder, tmp_path / "elsewhere")
    reference = p.load_project(path).photos
    assert reference is not None
    assert reference.missing
    with pytest.raises(
        InputError, match=r"photos: the project's photos are not there; expected 6 photos, r_0 to r_5"
    ):
        reference.read()
    same(reference.moved(tmp_path / "elsewhere").read().photos[3].image, photos.photos[3].image)


def test_photos_added_later_do_not_move_the_world(tmp_path: Path) -> None:
    folder = _capture(tmp_path / "photos")
    photos = load_photos(folder)
    reference = PhotoReference.of(photos)
    tree = json.loads((folder / "transforms.json").read_text())
    del tree["frames"][:2]
    (folder / "transforms.json").write_text(json.dumps(tree))
    again = reference.read()
    same(again.photos[0].camera.view_to_world, photos.photos[2].camera.view_to_world)
    assert reference.changes(again) == ["2 of 6 photos are gone, the first is r_0"]


def test_the_built_in_photos_are_found_wherever_the_program_is(tmp_path: Path) -> None:
    reference = PhotoReference(ASSETS / "demo" / "transforms.json", Reading(), None, ["a"])
    path = tmp_path / "duck.studio"
    p.save_project(p.Project("duck", Scene(), reference), path)
    tree, _ = _parts(path)
    assert tree["photos"]["built_in"] == "demo/transforms.json"
    assert "absolute" not in tree["photos"]
    found = p.load_project(path).photos
    assert found is not None
    assert found.source == ASSETS / "demo" / "transforms.json"


def test_kept_pictures_come_back(tmp_path: Path) -> None:
    """With the scene and effects that they show; arrays that the document has, too, are written once."""
    scene = built_in("bust")
    camera = framing_camera(scene.bounds(), 40, 30)
    image = np.random.default_rng(0).random((30, 40, 3)).astype(np.float32)
    picture = Photo("a", image, camera, mask=np.ones((30, 40), np.float32))
    values = {"pbr": ParamSet("pbr", registry()["pbr"].params, {"specular_f0": 0.1}).as_dict()}
    project = p.Project("bust", scene, kept={"a": KeptPicture(picture, scene, values, {"pbr": True})})
    p.save_project(project, tmp_path / "kept.studio")
    p.save_project(p.Project("bust", scene), tmp_path / "plain.studio")
    found = p.load_project(tmp_path / "kept.studio").kept["a"]
    assert np.array_equal(found.picture.image, image)
    assert np.array_equal(found.picture.camera.view_to_world, camera.view_to_world)
    assert found.values["pbr"]["specular_f0"] == pytest.approx(0.1)
    assert found.on["pbr"] is True
    same(found.scene.meshes, scene.meshes)
    more = (tmp_path / "kept.studio").stat().st_size - (tmp_path / "plain.studio").stat().st_size
    assert more < image.nbytes + 30 * 40 * 4 + 20_000


def test_kept_pictures_are_checked(tmp_path: Path) -> None:
    scene = built_in("bust")
    camera = framing_camera(scene.bounds(), 40, 30)
    for image in (np.zeros((30, 41, 3), np.float32), np.full((30, 40, 3), np.nan, np.float32)):
        entry = KeptPicture(Photo("a", image, camera), scene)
        p.save_project(p.Project("bust", scene, kept={"a": entry}), tmp_path / "bad.studio")
        with pytest.raises(InputError, match=r"kept\.a: expected a picture of 40x30 numbers"):
            p.load_project(tmp_path / "bad.studio")
