"""Pictures in and out: orientation, sRGB, 16 bit, floats, damage, full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError, WorkError
from studio.core.io import files, images, radiance
from studio.core.io.images import load_environment, load_image, save_exr, save_png
from tests.io.helpers import png16, snapshot
from tests.needs import data, need


def test_row_zero_is_at_the_bottom_and_srgb_is_decoded(tmp_path: Path) -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0] = 188  # the top row of the file
    Image.fromarray(picture).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.shape == (2, 3, 3)
    assert image.dtype == np.float32
    assert (image[0] == 0).all()
    # IEC 61966-2-1: ((188/255 + 0.055) / 1.055)^2.4
    np.testing.assert_allclose(image[1], 0.502886, atol=1e-6)
    np.testing.assert_allclose(load_image(tmp_path / "a.png", color=False)[1], 188 / 255, atol=1e-7)


def test_alpha_is_never_srgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 1, 4), 128, np.uint8)).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image[0, 0, 3] == pytest.approx(128 / 255)
    assert image[0, 0, 0] == pytest.approx(0.21586, abs=1e-5)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("row_filter", [0, 4])
def test_sixteen_bit_colour_keeps_all_bits(tmp_path: Path, channels: int, row_filter: int) -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (5, 4, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png16(samples, row_filter))
    image = load_image(tmp_path / "a.png", color=False)
    np.testing.assert_array_equal(np.round(image[::-1] * 65535).astype(int), samples)
    embedded = images.decode_image(png16(samples, row_filter), "inside", color=False)
    np.testing.assert_array_equal(embedded, image)


def test_sixteen_bit_grey(tmp_path: Path) -> None:
    samples = np.array([[0, 1, 65535], [256, 300, 40000]], np.uint16)
    Image.fromarray(samples).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", color=False)
    np.testing.assert_allclose(image[::-1, :, 0], samples / 65535, atol=1e-7)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16, 0] = 255  # left half red
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = load_image(tmp_path / "a.jpg")
    assert image.shape == (32, 16, 3)
    assert image[24:, :, 0].mean() > 0.9  # the left of the file is the top now
    assert image[:8, :, 0].mean() < 0.1


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 4), ("P", 3), ("CMYK", 3)])
def test_other_modes(tmp_path: Path, mode: str, channels: int) -> None:
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (4, 3), "white").convert(mode).save(name)
    image = load_image(name)
    assert image.shape == (3, 4, channels)
    np.testing.assert_allclose(image, 1.0, atol=1e-6)


def test_bytes_come_back_from_png(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for color in (True, False):
        values = images.to_float(np.repeat(ramp, 3, axis=2), color)
        save_png(tmp_path / "a.png", values, color)
        np.testing.assert_array_equal(load_image(tmp_path / "a.png", color), values)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png"))[::-1], ramp.repeat(3, axis=2))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floats_come_back_from_exr(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(2).normal(0, 100, (5, 7, channels)).astype(np.float32)
    save_exr(tmp_path / "a.exr", values)
    np.testing.assert_array_equal(load_image(tmp_path / "a.exr"), values)


def test_radiance_runs_and_flat_pixels() -> None:
    rgbe = np.random.default_rng(3).integers(1, 255, (3, 9, 4)).astype(np.uint8)
    rgbe[1, 2:8] = (7, 8, 9, 130)  # something for a run
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 3 +X 9\n"
    body = b""
    for row in rgbe:
        body += bytes([2, 2, 0, 9])
        for channel in row.T:
            run = (channel[2:8] == channel[2]).all()
            parts = [bytes([9]) + channel.tobytes()]
            if run:
                parts = [bytes([2]) + channel[:2].tobytes(), bytes([134, channel[2]]), bytes([1, channel[8]])]
            body += b"".join(parts)
    expected = (rgbe[..., :3] + 0.5) * 2.0 ** (rgbe[..., 3:].astype(float) - 136)
    np.testing.assert_allclose(radiance.decode(header + body, 100), expected, rtol=1e-6)
    rgbe[0, 0, 0] = 3  # 2 would begin a run-length coded line
    expected[0, 0, 0] = 3.5 * 2.0 ** (int(rgbe[0, 0, 3]) - 136)
    np.testing.assert_allclose(radiance.decode(header + rgbe.tobytes(), 100), expected, rtol=1e-6)
    for end in (len(header) + 3, len(header) + 20, len(header + body) - 1):
        with pytest.raises(ValueError, match=r"truncated|damaged"):
            radiance.decode((header + body)[:end], 100)


@pytest.mark.parametrize("name", ["museum.exr", "envmap2.exr", "cathedral.hdr"])
def test_environments_load(name: str) -> None:
    image = load_environment(data(f"hdr/{name}"))
    assert image.shape[1] == 2 * image.shape[0]
    assert image.shape[2] == 3
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() >= 1
    if name == "cathedral.hdr":  # the sky, high up, is brighter than the paving below
        assert image[300:400, 300:600].mean() > 3 * image[:100].mean()


def test_environment_of_the_wrong_shape(tmp_path: Path) -> None:
    save_exr(tmp_path / "a.exr", np.ones((8, 8, 3), np.float32))
    with pytest.raises(InputError, match=r"a\.exr: 8x8 pixels, expected an equirectangular"):
        load_environment(tmp_path / "a.exr")


def damaged_files(folder: Path) -> dict[str, str]:
    """Damaged pictures by name, with what the error must say."""
    rng = np.random.default_rng(4)
    picture = Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    for suffix in ("png", "jpg", "bmp", "tif"):
        picture.save(folder / f"whole.{suffix}")
        blob = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"half.{suffix}").write_bytes(blob[: len(blob) // 2])
    save_exr(folder / "whole.exr", rng.random((64, 64, 3)).astype(np.float32))
    blob = (folder / "whole.exr").read_bytes()
    (folder / "half.exr").write_bytes(blob[: len(blob) // 2])
    (folder / "start.exr").write_bytes(blob[:40])
    (folder / "text.png").write_text("this is not a picture")
    (folder / "text.exr").write_text("this is not a picture")
    (folder / "text.hdr").write_text("this is not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    for name, side in (("bomb.png", 100_000), ("large.png", 13_000)):
        blob = bytearray((folder / "whole.png").read_bytes())
        blob[16:24] = side.to_bytes(4, "big") * 2
        blob[29:33] = zlib.crc32(blob[12:29]).to_bytes(4, "big")
        (folder / name).write_bytes(bytes(blob))
    (folder / "bomb.hdr").write_bytes(b"#?RADIANCE\n\n-Y 99999 +X 99999\n")
    return {
        **{f"half.{s}": r"truncated|damaged" for s in ("png", "jpg", "bmp", "tif", "exr")},
        "start.exr": "damaged",
        "text.png": "not an image",
        "text.exr": "not an OpenEXR",
        "text.hdr": "not a Radiance",
        "empty.png": "empty",
        "folder.png": "is a folder",
        "missing.png": "no such file",
        "bomb.png": "more than 178 million pixels, expected at most 134 million",
        "large.png": "13000x13000 pixels",
        "bomb.hdr": "99999x99999",
    }


def test_damaged_pictures_are_one_clear_line(tmp_path: Path) -> None:
    for name, text in damaged_files(tmp_path).items():
        with pytest.raises(InputError, match=text) as caught:
            load_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_read_only_place_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    image = np.ones((2, 2, 3), np.float32)
    places = [tmp_path / "file" / "a.png", Path("/proc/a.png"), tmp_path]
    for place in places:
        with pytest.raises(InputError, match="cannot be written") as caught:
            save_png(place, image)
        assert str(place) in str(caught.value)
        assert caught.value.exit_status == 2


def test_a_folder_without_permission(tmp_path: Path) -> None:
    need("unprivileged")
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission"):
        save_png(tmp_path / "a.png", np.ones((2, 2, 3), np.float32))


@pytest.mark.parametrize("number", ["EROFS", "EACCES"])
def test_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    import errno

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(getattr(errno, number), "refused")

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match="expected a writable place"):
        save_png(tmp_path / "a.png", np.ones((2, 2, 3), np.float32))
    assert snapshot(tmp_path) == {}


FULL_DISK = """
import resource, sys, numpy as np
from studio.core.errors import StudioError
from studio.core.io.images import save_png, save_exr
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
image = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
try:
    {function}(sys.argv[1], image)
except StudioError as error:
    print(error)
    sys.exit(error.exit_status)
"""


@pytest.mark.parametrize(("function", "name"), [("save_png", "a.png"), ("save_exr", "a.exr")])
def test_a_full_disk_keeps_the_earlier_file(tmp_path: Path, function: str, name: str) -> None:
    (tmp_path / name).write_bytes(b"earlier")
    code = FULL_DISK.format(function=function)  # a size limit fails the write as a full disk does
    command = [sys.executable, "-c", code, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == WorkError.exit_status, done.stderr
    assert name in done.stdout
    assert "earlier file" in done.stdout
    assert snapshot(tmp_path) == {name: b"earlier"}


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        save_png(tmp_path / "new/folder/a.png", np.ones((2, 2, 1), np.float32))
    finally:
        os.umask(old)
    assert (tmp_path / "new/folder/a.png").stat().st_mode & 0o777 == 0o644
