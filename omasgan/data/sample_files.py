"""Samples from a user's files: images, folders of them, and arrays.

PNG and JPEG images, folders of them, those of a ``hugging_face`` data set and ``.npy`` arrays are
brought to one form. Files may come
from anyone: sizes are checked before anything is decoded, nothing is unpickled, and whatever
cannot be read is refused in one line that names the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.data import hugging_face
from omasgan.data.hugging_face import Encoded
from omasgan.errors import DataError, unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFile: TypeAlias = Path | Encoded

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
MAX_PIXELS = 50_000_000
"""Of one image that is to be resized; more is a decompression bomb."""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")
"""Grey with 16 bits a pixel, as Pillow's versions call it in a PNG."""

GREY_MODES = ("1", "L", "LA", *DEEP_MODES)

LUMA = (19595, 38470, 7471)
"""Red, green and blue in grey, in 65536ths (ITU-R 601), as Pillow converts."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one file, ``(n, *shape)``; ``many`` unless the file is one image."""

    file: Path
    X: NDArray[Any]
    many: bool


def read(paths: Iterable[Path], shape: Sequence[int], *, resize: bool = False) -> list[Samples]:
    """Read the samples in files and folders, uint8 or float32, each of ``shape``.

    Args:
        paths: PNG or JPEG images, folders of them (searched through, sorted, links to folders not
            followed), ``.npy`` arrays, and folders that ``hugging_face`` reads.
        shape: of one sample, ``(c, h, w)`` or ``(d,)``.
        resize: resample images of another size, bilinearly; this alone can look anomalous.

    Raises:
        DataError: a file is missing, damaged, no image, or of another size without ``resize``.
    """
    return [_read(file, shape, resize) for file in _files(paths)]


def stacked(
    files: Iterable[ImageFile], shape: Sequence[int], *, resize: bool = False
) -> NDArray[np.uint8]:
    """Read images as one array ``(n, *shape)``, at least one; see ``read``."""
    return np.concatenate([_read_image(file, shape, resize) for file in files])


def image_shape(file: ImageFile) -> tuple[int, int, int]:
    """Return ``(c, h, w)`` of an image, c 1 or 3, without decoding its pixels.

    Raises:
        DataError: it is damaged, or no PNG or JPEG image.
    """
    with _opened(file) as raw:
        return 1 if raw.mode in GREY_MODES else 3, raw.height, raw.width


def is_deep(file: ImageFile) -> bool:
    """Return whether an image has 16 bits a pixel.

    Raises:
        DataError: it is damaged, or no PNG or JPEG image.
    """
    with _opened(file) as raw:
        return raw.mode in DEEP_MODES


def images_in(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files in a folder and below it, sorted; [] if there are none.

    Raises:
        DataError: the name of one cannot stand in a line.
    """
    return sorted(_images_in(folder))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield what ``paths`` mean: files that can be read, by their suffix, and saved data sets."""
    for path in paths:
        _check_name(path)
        if hugging_face.is_saved(path):
            yield path
            continue
        inside = images_in(path) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"folder '{path}' holds no .png, .jpg or .jpeg file")
        for file in inside:
            if not file.is_file():
                missing = not os.path.lexists(file)
                raise DataError(f"'{file}' {'does not exist' if missing else 'is no file'}")
            if file.suffix.lower() not in {*IMAGE_SUFFIXES, ".npy"}:
                raise DataError(f"'{file}' is no .png, .jpg, .jpeg or .npy file")
            yield file


def _images_in(folder: Path) -> Iterator[Path]:
    for inside, _, names in os.walk(folder):
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                _check_name(Path(inside) / name)
                yield Path(inside) / name


def _check_name(path: Path) -> None:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(path)):
        raise DataError(f"{str(path)!r} has control characters in its name; rename it")


def _read(file: Path, shape: Sequence[int], resize: bool) -> Samples:
    """Read what ``_files`` has yielded."""
    if file.is_dir():
        images = hugging_face.images(hugging_face.only_part(file))
        return Samples(file, stacked(images, shape, resize=resize), many=True)
    if file.suffix.lower() == ".npy":
        return _read_array(file, shape, resize)
    return Samples(file, _read_image(file, shape, resize), many=False)


def _read_image(file: ImageFile, shape: Sequence[int], resize: bool) -> NDArray[np.uint8]:
    """Read one image as ``(1, *shape)``."""
    from PIL import ImageOps

    if len(shape) == 1:
        raise DataError(f"'{file}': the detector knows vectors of {shape[0]} values, not images")
    with _opened(file) as raw:
        _check_pixels(file, raw.height, raw.width, shape, resize)
        array = _pixels(file, ImageOps.exif_transpose(raw))
    return np.asarray(_fit(file, array[None], shape, resize), dtype=np.uint8)


@contextlib.contextmanager
def _opened(file: ImageFile) -> Iterator[Image]:
    """Open an image; whatever goes wrong with it is one line that names the file.

    Raises:
        DataError: it is damaged, or no PNG or JPEG image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Our one line says what is wrong; a warning would be another.
            warnings.simplefilter("ignore")
            source = io.BytesIO(file.content) if isinstance(file, Encoded) else file
            with Image.open(source, formats=("PNG", "JPEG")) as raw:
                yield raw
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"'{file}' is no PNG or JPEG image") from error
    except Exception as error:  # Pillow has no error of its own for what is damaged
        raise unreadable(file, error) from error


def _pixels(file: ImageFile, image: Image) -> NDArray[np.uint8]:
    """Return an opaque image as ``(1|3, h, w)``; of 16 bits a pixel 8 remain."""
    if image.mode in DEEP_MODES and "transparency" not in image.info:
        levels = np.asarray(image).astype(np.int64)
        return ((levels * 255 + 32767) // 65535).astype(np.uint8)[None]
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A").tobytes()
        if min(alpha) < 255:
            raise DataError(f"'{file}' is transparent in places; put it on a background first")
    grey = image.mode in GREY_MODES
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _read_array(file: Path, shape: Sequence[int], resize: bool) -> Samples:
    try:
        # Mapped: the length that the header claims is checked against the file's, and an archive
        # or a pickle is refused.
        raw = np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # a hostile header has many ways to fail
        raise unreadable(file, error) from error
    X = values(file, raw)
    if len(shape) == 1:
        if X.shape[1:] != tuple(shape) or X.dtype == np.uint8:
            raise DataError(
                f"'{file}' must hold floats of shape (n, {shape[0]}), got {X.dtype} {X.shape}"
            )
        return Samples(file, X, many=True)
    X = channels_first(file, X, shape)
    _check_pixels(file, X.shape[2], X.shape[3], shape, resize)
    return Samples(file, _fit(file, X, shape, resize), many=True)


def values(file: Path, raw: NDArray[Any]) -> NDArray[Any]:
    """Return the samples of an array, at least one, as uint8 or as float32 in [-1, 1].

    Raises:
        DataError: it holds none, or other values.
    """
    if raw.ndim < 2 or raw.size == 0:
        raise DataError(f"'{file}' holds no samples, its shape is {raw.shape}")
    if raw.dtype == np.uint8:
        return np.array(raw)
    if raw.dtype.kind != "f":
        raise DataError(f"'{file}' must hold uint8 or floats, got {raw.dtype}")
    low, high = raw.min(), raw.max()
    if not (low >= -1 and high <= 1):
        raise DataError(
            f"'{file}' must hold floats in [-1, 1], got {low:.4g} to {high:.4g}; "
            "grey levels of 0 to 255 are taken as uint8"
        )
    return raw.astype(np.float32)


def channels_first(file: Path, X: NDArray[Any], shape: Sequence[int] = ()) -> NDArray[Any]:
    """Return ``(n, h, w)`` or ``(n, h, w, c)`` as ``(n, c, h, w)``, which is tried first; samples
    of ``shape`` may have any number of channels.

    Raises:
        DataError: the array has none of these shapes.
    """
    if X.ndim == 3:
        return X[:, None]
    if X.ndim == 4 and (X.shape[1:] == tuple(shape) or X.shape[1] in (1, 3)):
        return X
    if X.ndim == 4 and X.shape[3] in (1, 3):
        return X.transpose(0, 3, 1, 2)
    raise DataError(
        f"'{file}' must have the shape (n, c, h, w), (n, h, w) or (n, h, w, c) with 1 or 3 "
        f"channels, got {X.shape}"
    )


def _check_pixels(file: ImageFile, h: int, w: int, shape: Sequence[int], resize: bool) -> None:
    """Refuse an image for its size before it is decoded."""
    if resize and h * w > MAX_PIXELS:
        raise DataError(f"'{file}' has {w}x{h} pixels; at most {MAX_PIXELS} are resized")
    if not resize and (h, w) != tuple(shape[1:]) and (w, h) != tuple(shape[1:]):
        raise _another_size(file, h, w, shape)


def _another_size(file: ImageFile, h: int, w: int, shape: Sequence[int]) -> DataError:
    return DataError(
        f"'{file}' has {w}x{h} pixels, the detector was trained on {shape[2]}x{shape[1]}; "
        "--resize resamples it (which alone can look anomalous)"
    )


def _fit(file: ImageFile, X: NDArray[Any], shape: Sequence[int], resize: bool) -> NDArray[Any]:
    """Bring images ``(n, 1|3, h, w)`` to the channels and size of ``shape``; the dtype stays."""
    h, w = X.shape[2:]
    if (h, w) != tuple(shape[1:]):
        if not resize:
            raise _another_size(file, h, w, shape)
        X = resampled(X, *shape[1:])
    if X.shape[1] == shape[0]:
        return X
    if shape[0] == 3:
        return X.repeat(3, axis=1)
    if shape[0] != 1:
        raise DataError(f"'{file}': the detector was trained on {shape[0]} channels, not images")
    if X.dtype == np.uint8:
        total = np.tensordot(X.astype(np.int64), LUMA, (1, 0)) + 0x8000
        return (total >> 16).astype(np.uint8)[:, None]
    return (np.tensordot(X, LUMA, (1, 0)) / 65536).astype(X.dtype)[:, None]


def resampled(X: NDArray[Any], h: int, w: int) -> NDArray[Any]:
    """Return images ``(n, c, ., .)`` resampled bilinearly to ``(n, c, h, w)``; the dtype stays."""
    return np.array([[_resampled(channel, h, w) for channel in x] for x in X])


def _resampled(channel: NDArray[Any], h: int, w: int) -> NDArray[Any]:
    from PIL import Image

    size = Image.fromarray(np.ascontiguousarray(channel))
    return np.asarray(size.resize((w, h), Image.Resampling.BILINEAR))
