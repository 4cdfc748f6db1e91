from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from omasgan.errors import ConfigError, StoreError
from omasgan.store.files import (
    AnyPath,
    append_lines,
    can_create,
    check_writable,
    create,
    delete,
    delete_leftovers,
    exists,
    find,
    open_root,
    read,
    read_all,
    relative,
    write_atomic,
)
from tests.conftest import SmallDisk

BIG = bytes(2**21)


def test_a_text_without_a_protocol_is_a_folder() -> None:
    assert open_root("results/a b") == Path("results/a b")
    assert open_root("file:///tmp/a%20b") == Path("/tmp/a b")


def test_a_uri_is_a_path_that_keeps_no_listings(bucket: str) -> None:
    root = open_root(f"{bucket}/out/")
    assert not isinstance(root, Path)
    assert str(root) == "s3://results/out"
    assert root.fs.dircache.use_listings_cache is False
    assert len(pickle.dumps(root)) < 1000
    assert pickle.loads(pickle.dumps(root)) == root


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s4://bucket/out", "unknown object store 's4'; did you mean 's3'"),
        ("https://host/out", r"unknown object store 'https'; \(valid: abfs,"),
        ("s3://", "names no bucket; write s3://BUCKET/FOLDER"),
        ("s3://key:hush@bucket/out", r"'s3://\*\*\*@bucket/out' holds credentials"),
        ("gs://bucket/out?token=hush", r"token=\*\*\*' holds credentials"),
    ],
)
def test_a_uri_that_cannot_be_used_is_refused(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_root(uri)
    assert "hush" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match="pip install universal_pathlib gcsfs"):
        open_root("gs://bucket/out")


def test_a_bucket_that_is_not_there_is_told_before_any_work(bucket: str) -> None:
    with pytest.raises(StoreError, match=r"cannot use 's3://elsewhere/out': .*bucket does not"):
        check_writable(open_root("s3://elsewhere/out"))
    check_writable(open_root(f"{bucket}/new/out"))
    assert not exists(open_root(f"{bucket}/new")), "the probe is gone"


def test_a_store_that_does_not_answer_is_told_in_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    away = UPath("s3://results/out", config_kwargs={"retries": {"max_attempts": 0}})
    for work in (exists, read, check_writable, lambda path: find(path, "*")):
        with pytest.raises(StoreError, match=r"cannot .* 's3://results/out.*': Could not conn"):
            work(away)


def test_what_was_written_is_read(root: AnyPath) -> None:
    path = root / "a" / "b.bin"
    assert read(path) is None and not exists(path)
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert read(path) == b"new" and exists(path)
    assert read(path, at_most=3) == b"new"
    with pytest.raises(StoreError, match="is too large: more than 2 bytes"):
        read(path, at_most=2)
    assert read_all([path, root / "missing", path]) == [b"new", None, b"new"]
    delete(path)
    delete(path)
    assert read(path) is None


def test_a_file_is_created_once(root: AnyPath) -> None:
    path = root / "a" / "new"
    assert can_create(root)
    assert [create(path, content) for content in (b"first", b"second")] == [True, False]
    assert read(path) == b"first"
    assert find(root, "**/*") == [path], "no probe is left"


def test_of_many_that_create_a_file_one_succeeds(root: AnyPath) -> None:
    def put(number: int) -> bool:
        return create(root / "a" / "new", f"{number}".encode())

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(put, range(8)))
    assert sum(written) == 1
    assert read(root / "a" / "new") == f"{written.index(True)}".encode()


def test_a_file_where_a_folder_would_be_is_no_file_that_was_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot create '.*/file/new'"):
        create(tmp_path / "file" / "new", b"")


def test_files_are_found_by_their_pattern(root: AnyPath) -> None:
    names = ["b/x/one.json", "b/y/one.json", "b/y/two.json", "b/y/z/one.json", "c/x/one.json"]
    for name in names:
        write_atomic(root / name, b"")

    def found(folder: AnyPath, pattern: str) -> list[str]:
        return [relative(path, root) for path in find(folder, pattern)]

    assert found(root, "*/*/one.json") == ["b/x/one.json", "b/y/one.json", "c/x/one.json"]
    assert found(root, "b/*/one.json") == ["b/x/one.json", "b/y/one.json"]
    assert found(root / "b", "*/t*.json") == ["b/y/two.json"]
    assert found(root, "**/two.json") == ["b/y/two.json"]
    assert found(root, "b/y/two.json") == ["b/y/two.json"]
    assert found(root / "missing", "*.json") == []


lines = st.binary(max_size=20).map(lambda content: content.replace(b"\n", b""))


@given(parts=st.lists(st.lists(lines)))
def test_lines_are_appended(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[bytes]]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "deep" / "log"
    for part in parts:
        append_lines(path, b"".join(line + b"\n" for line in part))
    assert (read(path) or b"") == b"".join(line + b"\n" for part in parts for line in part)


def test_a_torn_line_does_not_swallow_the_next_one(root: AnyPath) -> None:
    path = root / "log"
    write_atomic(path, b"one\ntw")
    append_lines(path, b"three\n")
    append_lines(path, b"four\n")
    assert read(path) == b"one\ntw\nthree\nfour\n"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(small_disk: SmallDisk) -> None:
    path = small_disk.path / "a" / "file"
    append_lines(path, b"old\n")
    with small_disk.full():
        with pytest.raises(StoreError, match=r"cannot write '.*a/file'.*(space|too large)"):
            write_atomic(path, BIG)
        with pytest.raises(StoreError, match=r"cannot write '.*a/file'.*(space|too large)"):
            append_lines(path, BIG)
        with pytest.raises(StoreError, match=r"cannot write '.*a/new'.*(space|too large)"):
            append_lines(path.with_name("new"), BIG)
    assert read(path) == b"old\n"
    assert (read(path.with_name("new")) or b"") == b""
    assert {file.name for file in path.parent.iterdir()} <= {"file", "new"}


def test_what_a_killed_writer_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / ".result.json.0a1b2c3d.tmp").write_text("{")
    (tmp_path / "result.json").write_text("{}")
    delete_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
