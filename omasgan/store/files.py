"""Files in a folder or on an object store: who reads one finds its old content or its new one.

In a folder a file is written under another name and renamed; on an object store a put is atomic.
Whatever the file system or the client of a store raises becomes a ``StoreError`` of one line.
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
"""Protocols whose put is atomic, and the package for each; ``memory`` is within one process."""

REQUESTS = 16
"""How many files are read from an object store at once."""


def open_root(text: str) -> AnyPath:
    """Return a folder, or the URI of a prefix on an object store, as a path; nothing is read.

    Credentials and endpoint come from the environment (for S3 ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``), which every node of a cluster needs.

    Raises:
        ConfigError: there is no object store of this kind, its package is missing, or the URI has
            no bucket or holds credentials.

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
    """Return the client's options: listings are not cached, since other processes write too."""
    if package != "s3fs":
        return {"use_listings_cache": False}
    # An endpoint that does not answer is given up after minutes by default.
    patience = {"connect_timeout": 10, "retries": {"mode": "standard", "max_attempts": 4}}
    return {"use_listings_cache": False, "config_kwargs": patience}


def check_writable(root: AnyPath) -> None:
    """Refuse a root that cannot be written to; a probe is written and removed.

    Raises:
        StoreError: it is a file, is not writable, or the object store refuses a put.
    """
    if not isinstance(root, Path):
        probe = _probe(root)
        with _as_store_error("use", root):
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


def _probe(root: AnyPath) -> Any:
    """Return the path of a file that nobody else writes."""
    return root / f".probe-{uuid.uuid4().hex}"


def make_folder(path: Path) -> None:
    """Create a folder with those above it, unless it is there.

    Raises:
        StoreError: it cannot be created.
    """
    with _as_store_error("create the folder", path):
        path.mkdir(parents=True, exist_ok=True)


def exists(path: AnyPath) -> bool:
    """Return whether there is a file or folder at ``path``.

    Raises:
        StoreError: the file system or store does not say.
    """
    with _as_store_error("look for", path):
        return path.exists()


def is_folder(path: AnyPath) -> bool:
    """Return whether there is a folder at ``path``, or anything beneath it on an object store.

    Raises:
        StoreError: the file system or store does not say.
    """
    with _as_store_error("look for", path):
        return path.is_dir()


def read(path: AnyPath, at_most: int | None = None) -> bytes | None:
    """Return the content of a file, or None if there is no file.

    Raises:
        StoreError: it cannot be read, or holds more than ``at_most`` bytes.
    """
    with _as_store_error("read", path):
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
    # This takes one request, opening the file would take two.
    content: bytes = path.fs.cat_file(path.path, start=None if size is None else 0, end=size)
    return content


def read_all(paths: list[AnyPath]) -> list[bytes | None]:
    """Return what ``read`` returns for each; from an object store several are read at once."""
    if not paths or isinstance(paths[0], Path):
        return [read(path) for path in paths]
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(read, paths))


def write_atomic(path: AnyPath, content: bytes) -> None:
    """Write ``content`` to ``path``, with the folders above it, so that a crash leaves the old
    file or the new one.

    Raises:
        StoreError: it cannot be written; nothing of the new content is left.
    """
    with _as_store_error("write", path):
        if isinstance(path, Path):
            _write_and_rename(path, content)
        else:
            path.fs.pipe_file(path.path, content)


def create(path: AnyPath, content: bytes) -> bool:
    """Write ``content`` to ``path`` unless there is a file; return whether it was written.

    Of several processes that do so at once one succeeds, on an object store if it ``can_create``.

    Raises:
        StoreError: it cannot be written.
    """
    with _as_store_error("create", path):
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(path, Path):
                with path.open("xb") as file:
                    file.write(content)
            else:
                path.fs.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            return False
    return True


def can_create(root: AnyPath) -> bool:
    """Return whether ``create`` beneath ``root`` is exclusive: not every object store refuses a
    conditional put (S3: ``If-None-Match: *``) of an object that is there.
    """
    if isinstance(root, Path):
        return True
    probe = _probe(root)
    try:
        return create(probe, b"") and not create(probe, b"")
    except StoreError:
        # It does not take the condition, or its client does not know of it.
        return False
    finally:
        delete(probe)


def _write_and_rename(path: Path, content: bytes) -> None:
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
    """Append whole lines; a line that a crash has torn before them stays a line of its own.

    An object store cannot append: there the object is read and written as a whole, which costs
    more the longer it is. So callers give many lines at once. One process alone writes to a file.

    Raises:
        StoreError: they cannot be written; nothing of them is left.
    """
    if not lines:
        return
    if not isinstance(path, Path):
        old = read(path) or b""
        write_atomic(path, old + _newline_after(old[-1:]) + lines)
        return
    with _as_store_error("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            size = file.tell()
            file.seek(max(0, size - 1))
            rest = _newline_after(file.read(1)) + lines
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(size)
                raise


def _newline_after(last: bytes) -> bytes:
    return b"" if last in (b"", b"\n") else b"\n"


def delete(path: AnyPath) -> None:
    """Delete a file if it is there.

    Raises:
        StoreError: it cannot be deleted.
    """
    with _as_store_error("delete", path):
        path.unlink(missing_ok=True)


def delete_leftovers(folder: AnyPath) -> None:
    """Delete the temporary files of killed writers in a folder that nobody writes to now."""
    if isinstance(folder, Path):
        for path in folder.glob(".*.tmp"):
            delete(path)


def find(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """Return the files beneath ``folder`` whose relative path matches ``pattern``, sorted.

    ``*`` stands for any text within a part, ``**/`` at the beginning for any folders. An object
    store, which has no folders to walk, is listed flat, a thousand objects a request.

    Raises:
        StoreError: the object store cannot be listed.
    """
    if isinstance(folder, Path):
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    fixed = pattern[: pattern.find("*")].rpartition("/")[0] if "*" in pattern else pattern
    with _as_store_error("list", folder):
        keys = folder.fs.find((folder / fixed).path if fixed else folder.path)
    names = [key[len(folder.path) :].lstrip("/") for key in keys]
    return [folder / name for name in sorted(names) if _matches(name, pattern)]


def _matches(name: str, pattern: str) -> bool:
    path, plain = PurePosixPath(name), pattern.removeprefix("**/")
    return path.match(plain) and (plain != pattern or name.count("/") == pattern.count("/"))


def relative(path: AnyPath, folder: AnyPath) -> str:
    """Return the path relative to ``folder``, with slashes.

    >>> relative(Path("out/a/b.json"), Path("out"))
    'a/b.json'
    """
    return path.as_posix()[len(folder.as_posix()) :].lstrip("/")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without credentials."""
    return without_secrets((str(error) or type(error).__name__).splitlines()[0])


@contextlib.contextmanager
def _as_store_error(action: str, path: AnyPath) -> Iterator[None]:
    """Turn what a file system or the client of an object store raises into a ``StoreError``."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        # The clients of object stores have errors of their own.
        if isinstance(path, Path) and not isinstance(error, OSError):
            raise
        raise StoreError(f"cannot {action} '{path}': {first_line(error)}") from error
