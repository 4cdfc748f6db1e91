"""Files in a folder or on an object store: whoever reads one finds the old content or the new.

In a folder a file is written beside its place and renamed; on an object store a put is atomic by
itself. Whatever the file system or a store's client raises becomes a ``StoreError`` of one line.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from omasgan.errors import ConfigError, StoreError, unknown, without_secrets

if TYPE_CHECKING:
    from upath import UPath

AnyPath: TypeAlias = "Path | UPath"
"""A local path, or one on an object store; both have the methods of ``pathlib``."""

OBJECT_STORES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "memory": "fsspec",
}
"""Protocols whose put is atomic, by the package that speaks them; ``memory`` is of one process."""

REQUESTS = 16
"""How many files are asked of an object store at once."""


def open_root(text: str) -> AnyPath:
    """A folder, or the URI of a place on an object store, as a path; nothing is looked at.

    Credentials and endpoint come from the environment (for S3 ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``), which every node of a cluster needs.

    Raises:
        ConfigError: no object store of this kind, its package is missing, or a URI without a
            bucket or with credentials.

    >>> open_root("results/mnist").as_posix()
    'results/mnist'
    """
    protocol, separator, _ = text.partition("://")
    parts = urlsplit(text)
    if not separator:
        return Path(text)
    if protocol == "file":
        return Path(unquote(parts.path))
    if protocol not in OBJECT_STORES:
        raise unknown("object store", protocol, OBJECT_STORES)
    if without_secrets(text) != text:
        raise ConfigError(
            f"'{without_secrets(text)}' holds credentials, which would be written into logs; "
            "give them in the environment (for s3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if not parts.netloc:
        raise ConfigError(f"'{text}' names no bucket; write {protocol}://BUCKET/FOLDER")
    package = OBJECT_STORES[protocol]
    try:
        from upath import UPath

        root: UPath = UPath(text.rstrip("/"), **_options(package))
        root.fs  # noqa: B018 - it is here that the package is imported
    except ImportError as error:
        raise ConfigError(
            f"'{text}' needs packages that are missing: pip install universal_pathlib {package}"
        ) from error
    return root


def _options(package: str) -> dict[str, Any]:
    """Listings are never kept: other processes write to the same place."""
    if package != "s3fs":
        return {"use_listings_cache": False}
    # An endpoint that does not answer is given up after minutes by default.
    patience = {"connect_timeout": 10, "retries": {"mode": "standard", "max_attempts": 4}}
    return {"use_listings_cache": False, "config_kwargs": patience}


def check_writable(root: AnyPath) -> None:
    """Refuse a root that cannot be written to; a probe is written and removed.

    Raises:
        StoreError: it is a file, is not writable, or the object store refuses a probe.
    """
    if not isinstance(root, Path):
        probe = root / f".probe-{uuid.uuid4().hex}"
        with _told("use", root):
            probe.fs.pipe_file(probe.path, b"")
            probe.fs.rm_file(probe.path)
        return
    nearest = root
    try:
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise StoreError(f"'{root}' cannot be the output folder: '{nearest}' is a file")
        # Permissions are not all: to root /proc seems writable.
        Path(tempfile.mkdtemp(prefix=".omasgan-", dir=nearest)).rmdir()
    except OSError as error:
        raise StoreError(
            f"'{root}' cannot be the output folder: '{nearest}' is not writable: {error.strerror}"
        ) from error


def exists(path: AnyPath) -> bool:
    """Whether there is a file or folder at ``path``.

    Raises:
        StoreError: that cannot be found out.
    """
    with _told("look for", path):
        return path.exists()


def is_folder(path: AnyPath) -> bool:
    """Whether there is a folder at ``path``, or anything beneath it on an object store.

    Raises:
        StoreError: that cannot be found out.
    """
    with _told("look for", path):
        return path.is_dir()


def read(path: AnyPath, at_most: int | None = None) -> bytes | None:
    """The content of a file, or None if there is none.

    Raises:
        StoreError: it cannot be read, or holds more than ``at_most`` bytes.
    """
    with _told("read", path):
        try:
            content = _read(path, None if at_most is None else at_most + 1)
        except FileNotFoundError:
            return None
    if at_most is not None and len(content) > at_most:
        raise StoreError(f"'{path}' is too large: more than {at_most} bytes")
    return content


def _read(path: AnyPath, size: int | None) -> bytes:
    if isinstance(path, Path):
        with path.open("rb") as file:
            return file.read(-1 if size is None else size)
    # One request; opening it would take two.
    content: bytes = path.fs.cat_file(path.path, start=None if size is None else 0, end=size)
    return content


def read_all(paths: list[AnyPath]) -> list[bytes | None]:
    """What ``read`` gives of each; of an object store several at once."""
    if not paths or isinstance(paths[0], Path):
        return [read(path) for path in paths]
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(read, paths))


def write_atomic(path: AnyPath, content: bytes) -> None:
    """Put ``content`` at ``path``, with the folders above it, so that a crash leaves the old file
    or the new one.

    Raises:
        StoreError: it cannot be written; nothing of the new content is left.
    """
    with _told("write", path):
        if isinstance(path, Path):
            _write_beside(path, content)
        else:
            path.fs.pipe_file(path.path, content)


def _write_beside(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def append_lines(path: AnyPath, lines: bytes) -> None:
    """Append whole lines; one that a crash has torn off before them stays a line of its own.

    An object store cannot append: there the object is read and put anew, which costs the more the
    longer it is. Callers give many lines at once, and only one process writes to a file.

    Raises:
        StoreError: it cannot be written; nothing of the lines is left.
    """
    if not lines:
        return
    if not isinstance(path, Path):
        old = read(path) or b""
        write_atomic(path, old + _break_after(old[-1:]) + lines)
        return
    with _told("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            size = file.tell()
            file.seek(max(0, size - 1))
            rest = _break_after(file.read(1)) + lines
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(size)
                raise


def _break_after(last: bytes) -> bytes:
    return b"" if last in (b"", b"\n") else b"\n"


def delete(path: AnyPath) -> None:
    """Delete a file if it is there.

    Raises:
        StoreError: it cannot be deleted.
    """
    with _told("delete", path):
        path.unlink(missing_ok=True)


def delete_leftovers(folder: AnyPath) -> None:
    """Delete what writers that were killed have left in a folder that nobody writes to now."""
    if isinstance(folder, Path):
        for path in folder.glob(".*.tmp"):
            delete(path)


def find(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """The files beneath ``folder`` whose relative path matches ``pattern``, sorted.

    ``*`` stands for any text within a part, ``**/`` at the beginning for any folders. An object
    store is listed flat, a thousand objects a request, since it has no folders to walk.

    Raises:
        StoreError: the object store cannot be listed.
    """
    if isinstance(folder, Path):
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    fixed = pattern[: pattern.find("*")].rpartition("/")[0] if "*" in pattern else pattern
    with _told("list", folder):
        keys = folder.fs.find((folder / fixed).path if fixed else folder.path)
    names = [key[len(folder.path) :].lstrip("/") for key in keys]
    return [folder / name for name in sorted(names) if _matches(name, pattern)]


def _matches(name: str, pattern: str) -> bool:
    path, plain = PurePosixPath(name), pattern.removeprefix("**/")
    return path.match(plain) and (plain != pattern or name.count("/") == pattern.count("/"))


def relative(path: AnyPath, folder: AnyPath) -> str:
    """Where ``path`` lies in ``folder``, with slashes.

    >>> relative(Path("out/a/b.json"), Path("out"))
    'a/b.json'
    """
    return path.as_posix()[len(folder.as_posix()) :].lstrip("/")


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return without_secrets((str(error) or type(error).__name__).splitlines()[0])


@contextlib.contextmanager
def _told(action: str, path: AnyPath) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        # The clients of object stores have errors of their own.
        if isinstance(path, Path) and not isinstance(error, OSError):
            raise
        raise StoreError(f"cannot {action} '{path}': {first_line(error)}") from error
