"""Samples from a user's files: their forms, and what cannot be read."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from omasgan.data import sample_files
from omasgan.errors import DataError

GREY = (1, 8, 8)
RGB = (3, 8, 8)


def digit(size: int = 8) -> Image.Image:
    """A seven, drawn by hand."""
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    k = size // 8
    draw.line([(2 * k, k), (5 * k, k), (3 * k, 6 * k)], fill=230, width=k)
    return image


def one(path: Path, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    (samples,) = sample_files.read([path], shape, resize=resize)
    assert samples.file == path
    return samples.X


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "LA", "RGBA"])
def test_images_come_in_the_channels_of_the_training(tmp_path: Path, mode: str) -> None:
    image = digit().point(lambda grey: 255 * (grey > 0)).convert(mode)
    path = tmp_path / "seven.PNG"
    image.save(path)
    expected = 255 * (np.asarray(digit()) > 0).astype(np.uint8)
    for shape in (GREY, RGB):
        X = one(path, shape)
        assert X.shape == (1, *shape) and X.dtype == np.uint8
        assert np.array_equal(X, np.broadcast_to(expected, X.shape))


def test_of_sixteen_bits_the_upper_eight_remain(tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257], [32767, 32768, 65000, 65535]], np.uint16)
    Image.fromarray(levels.repeat(4, axis=0).repeat(2, axis=1)).save(tmp_path / "deep.png")
    X = one(tmp_path / "deep.png", GREY)
    assert X.dtype == np.uint8
    assert X[0, 0, ::4, ::2].tolist() == [[0, 0, 1, 1], [127, 128, 253, 255]]
    np.testing.assert_array_equal(one(tmp_path / "deep.png", RGB), X.repeat(3, axis=1))


def test_colour_becomes_grey_as_pillow_has_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", pixels[None])
    np.save(tmp_path / "b.npy", pixels[None] / 127.5 - 1)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(one(tmp_path / "a.png", GREY)[0, 0], expected)
    assert np.array_equal(one(tmp_path / "a.npy", GREY)[0, 0], expected)
    grey = one(tmp_path / "b.npy", GREY)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey[0, 0], expected / 127.5 - 1, atol=0.01)


def test_jpeg_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (16, 8), "white")
    wide.paste("black", (0, 0, 8, 8))
    wide.save(tmp_path / "a.jpeg", exif=exif)
    X = one(tmp_path / "a.jpeg", (1, 16, 8))[0, 0]
    assert X[:8].mean() < 10 and X[8:].mean() > 245
    with pytest.raises(DataError, match=r"has 8x16 pixels, the detector was trained on 16x8"):
        one(tmp_path / "a.jpeg", (1, 8, 16))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(128, dtype=np.uint8).reshape(2, 1, 8, 8), (2, *GREY)),
        (np.arange(128, dtype=np.uint8).reshape(2, 8, 8), (2, *GREY)),
        (np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1), (2, *GREY)),
        (np.linspace(-1, 1, 128).reshape(2, 8, 8), (2, *GREY)),
        (
            np.asfortranarray(np.linspace(-1, 1, 128, dtype=np.float16).reshape(2, 8, 8)),
            (2, *GREY),
        ),
    ],
)
def test_arrays_come_in_any_common_layout(
    tmp_path: Path, array: np.ndarray, expected: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", array)
    X = one(tmp_path / "a.npy", GREY)
    assert X.shape == expected and X.dtype == (np.uint8 if array.dtype == np.uint8 else np.float32)
    np.testing.assert_allclose(X.reshape(2, 8, 8), array.reshape(2, 8, 8), atol=1e-6)
    assert (one(tmp_path / "a.npy", RGB) == X).all()


def test_a_training_shape_of_three_rows_is_no_colour(tmp_path: Path) -> None:
    array = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(one(tmp_path / "a.npy", (1, 3, 3)), array)


def test_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(-1, 1, 10).reshape(5, 2))
    assert one(tmp_path / "a.npy", (2,)).shape == (5, 2)
    with pytest.raises(DataError, match=r"must hold floats of shape \(n, 3\), got float32 \(5, 2"):
        one(tmp_path / "a.npy", (3,))
    digit().save(tmp_path / "a.png")
    with pytest.raises(DataError, match="knows vectors of 2 values, not images"):
        one(tmp_path / "a.png", (2,))


def test_another_size_needs_a_word(tmp_path: Path) -> None:
    digit(16).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.asarray(digit(16))[None])
    np.save(tmp_path / "b.npy", (np.asarray(digit(16)) / 127.5 - 1)[None])
    small = np.asarray(digit(16).resize((8, 8), Image.Resampling.BILINEAR))
    for name in ("a.png", "a.npy", "b.npy"):
        with pytest.raises(DataError, match=rf"{name}' has 16x16 pixels.* on 8x8; --resize.*anom"):
            one(tmp_path / name, GREY)
        X = one(tmp_path / name, GREY, resize=True)
        X = X if X.dtype == np.uint8 else (X + 1) * 127.5
        np.testing.assert_allclose(X[0, 0], small, atol=1)


def test_folders_are_searched_through_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.png", "b/a.jpg", "a.png"):
        digit().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    samples = sample_files.read([tmp_path, tmp_path / "c.png"], GREY)
    names = [str(s.file.relative_to(tmp_path)) for s in samples]
    assert names == ["a.png", "b/a.jpg", "c.png", "c.png"]


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def bomb(path: Path, side: int = 60_000) -> None:
    """A PNG that claims 3.6 gigapixels in a few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def text_bomb(path: Path) -> None:
    info = PngInfo()
    info.add_text("x", "0" * 80_000_000, zip=True)
    digit().save(path, pnginfo=info)


def transparent(path: Path) -> None:
    image = digit().convert("RGBA")
    image.putalpha(digit())
    image.save(path)


def cut(path: Path) -> None:
    digit().save(path)
    path.write_bytes(path.read_bytes()[:-30])


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/omasgan-was-unpickled",)


def npy(array: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, array)

    return write


def claims(shape: str) -> Callable[[Path], None]:
    """An ``.npy`` whose header claims a shape that the file does not hold."""

    def write(path: Path) -> None:
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        length = struct.pack("<H", len(header))
        path.write_bytes(b"\x93NUMPY\x01\x00" + length + header + b"\0" * 64)

    return write


HOSTILE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("a.png", lambda p: None, "does not exist"),
    "text": ("a.png", lambda p: p.write_text("I am no image"), "is no PNG or JPEG image"),
    "empty": ("a.jpg", lambda p: p.write_bytes(b""), "is no PNG or JPEG image"),
    "cut": ("a.png", cut, "cannot be read: "),
    "gif as png": ("a.png", lambda p: digit().save(p, format="GIF"), "is no PNG or JPEG image"),
    "other suffix": ("a.gif", lambda p: digit().save(p), "is no .png, .jpg, .jpeg or .npy file"),
    "bomb": ("a.png", bomb, "decompression bomb"),
    "text bomb": ("a.png", text_bomb, "cannot be read: "),
    "transparent": ("a.png", transparent, "transparent in places"),
    "link to itself": ("a.png", lambda p: p.symlink_to(p), "is no file"),
    "pipe": ("a.png", lambda p: os.mkfifo(p), "is no file"),
    "empty folder": ("a.png", lambda p: p.mkdir(), "holds no .png, .jpg or .jpeg file"),
    "two lines": ("a\nb.png", lambda p: digit().save(p), r"a\\nb.png' has control characters"),
    "pickle": ("a.npy", lambda p: p.write_bytes(pickle.dumps(Trap())), "magic string"),
    "pickled array": ("a.npy", npy(np.array([Trap()], dtype=object)), "cannot be read: "),
    "archive": (
        "a.npy",
        lambda p: (np.savez(p.with_suffix(".npz"), a=[1]), p.with_suffix(".npz").replace(p)),
        "magic string",
    ),
    "claims too much": ("a.npy", claims("(1000000000000, 8, 8)"), "cannot be read: "),
    "claims less than none": ("a.npy", claims("(-1, 8, 8)"), "cannot be read: "),
    "nested header": ("a.npy", claims("(" * 5000 + ")" * 5000), "cannot be read: "),
    "no samples": ("a.npy", npy(np.zeros((0, 8, 8), np.uint8)), "holds no samples"),
    "one number": ("a.npy", npy(np.array(1.0)), "holds no samples"),
    "integers": ("a.npy", npy(np.zeros((1, 8, 8), np.int64)), "uint8 or floats, got int64"),
    "complex": ("a.npy", npy(np.zeros((1, 8, 8), complex)), "uint8 or floats, got complex"),
    "nan": ("a.npy", npy(np.full((1, 8, 8), np.nan)), r"floats in \[-1, 1\], got nan to nan"),
    "grey levels": ("a.npy", npy(np.full((1, 8, 8), 255.0)), r"got 255 to 255; grey levels"),
    "one image": ("a.npy", npy(np.zeros((8, 8), np.uint8)), r"must have the shape .* got \(8, 8"),
    "two channels": ("a.npy", npy(np.zeros((1, 2, 8, 8), np.uint8)), "1 or 3 channels"),
}


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize(("name", "write", "message"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, name: str, write: Callable[[Path], Any], message: str, resize: bool
) -> None:
    path = tmp_path / name
    write(path)
    digit().save(tmp_path / "good.png")
    with pytest.raises(DataError, match=message) as caught:
        sample_files.read([tmp_path / "good.png", path], GREY, resize=resize)
    assert "\n" not in str(caught.value) and "a" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not Path("/tmp/omasgan-was-unpickled").exists()


def test_a_bomb_of_the_right_width_is_not_resized(tmp_path: Path) -> None:
    bomb(tmp_path / "a.png", side=7_100)
    with pytest.raises(DataError, match="at most 50000000 are resized"):
        sample_files.read([tmp_path / "a.png"], GREY, resize=True)
