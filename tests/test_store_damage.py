"""A photo index whose files are damaged: it says so, and is made anew."""

import contextlib
import os
import sqlite3
import time

import pytest
from messy_folder import draw_scene
from store_parts import Means, check_is_whole, damage_header, update

import clipnb.search.database as database
import clipnb.search.store as store_module
import clipnb.search.vectors as vectors
from clipnb.datasets.photos import PhotoFolder
from clipnb.search.store import update_store

pytestmark = pytest.mark.usefixtures("own_cache")


def damage_middle(path):
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def change_version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def drop_a_table(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE vectors")


def damage_vectors(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = randomblob(192)")
    for array in path.parent.glob("vectors-*"):
        array.unlink()


def cut_a_vector(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = x'0000' WHERE rowid = 3")
    for array in path.parent.glob("vectors-*"):
        array.unlink()


def flip_the_sign_of_a_number(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        command = "SELECT rowid, vector FROM vectors LIMIT 1"
        row, vector = connection.execute(command).fetchone()
        vector = vector[:3] + bytes([vector[3] ^ 0x80]) + vector[4:]
        connection.execute("UPDATE vectors SET vector = ? WHERE rowid = ?", [vector, row])
    for array in path.parent.glob("vectors-*"):
        array.unlink()


def change_cell(change):
    def damage(path):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {change}")  # noqa: S608
        for array in path.parent.glob("vectors-*"):
            array.unlink()

    return damage


CHANGES = [
    "contents SET hash = NULL",
    "contents SET hash = 'a text'",
    "contents SET hash = x'00'",
    "contents SET taken = x'00'",
    "files SET mtime = 'x'",
    "files SET size = NULL",
    "vectors SET vector = 'a text'",
    "vectors SET checksum = NULL",
]


@pytest.mark.parametrize(
    "damage",
    [
        flip_the_sign_of_a_number,
        *map(change_cell, CHANGES),
        damage_header,
        damage_middle,
        cut,
        change_version,
        drop_a_table,
        damage_vectors,
        cut_a_vector,
    ],
)
def test_a_damaged_database_is_made_anew(folder, damage):
    damage(update(folder).database)
    with pytest.warns(UserWarning, match=r"^the index of .* is damaged .*; it is made anew\.$"):
        store = update_store(PhotoFolder(folder), Means())
    assert store.report.encoded == 12
    check_is_whole(store, folder)


def test_an_empty_database_is_filled(folder):
    update(folder).database.write_bytes(b"")
    assert update(folder).report.added == 12


def test_contents_that_are_gone_are_read_again(folder):
    path = update(folder).database
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM contents WHERE rowid < 5")
    check_is_whole(update(folder), folder)


def test_a_column_more_is_no_obstacle(folder):
    path = update(folder).database
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE files ADD COLUMN more")
    check_is_whole(update(folder), folder)


def swap_two(content):
    content[-192:], content[-384:-192] = content[-384:-192], content[-192:]


def flip_a_sign(content):
    content[-1] ^= 0x80


def zero_some(content):
    content[-400:-200] = bytes(200)


@pytest.mark.parametrize("content", [b"", b"no array", swap_two, flip_a_sign, zero_some])
def test_a_damaged_array_is_made_anew(folder, content):
    store = update(folder)
    (array,) = store.database.parent.glob("vectors-*.npy")
    if callable(content):  # the right shape, but wrong numbers
        damage, content = content, bytearray(array.read_bytes())
        damage(content)
    replace(array, bytes(content))
    with pytest.warns(UserWarning, match=r"^vectors-.* is damaged; it is made anew\.$"):
        store = update_store(PhotoFolder(folder), Means())
    assert store.report.encoded == 0
    check_is_whole(store, folder)


@pytest.mark.parametrize("is_one_left", [True, False])
def test_a_missing_vector_is_noticed_and_nothing_damaged_stays(folder, is_one_left):
    store = update(folder)
    (array,) = store.database.parent.glob("vectors-*.npy")
    key = array.name.removeprefix("vectors-").rsplit("-", 1)[0]
    replace(array, b"damaged")
    with database.open_database(store.database) as connection:
        if is_one_left:
            connection.execute("DELETE FROM vectors WHERE digest != ?", [store.digests[5]])
        else:
            connection.execute("DELETE FROM vectors")
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(database.DamagedIndexError, match="a vector is missing"),
        ):
            vectors.load_features(connection, array.parent, key, store.digests, [0] * 12)
    assert not list(array.parent.glob("*vectors-*"))


def test_damage_that_cannot_be_healed_is_an_error_in_words(folder, monkeypatch):
    """A command prints a RuntimeError in one line, and anything else as a traceback."""

    def fail(*arguments):
        raise database.DamagedIndexError("no such column: x")

    monkeypatch.setattr(store_module, "load_rows", fail)
    with pytest.warns(UserWarning, match="made anew"), pytest.raises(RuntimeError, match="column"):
        update_store(PhotoFolder(folder), Means())


def replace(path, content):
    """Write a file anew. An array that is still mapped stays as it was."""
    path.unlink()
    path.write_bytes(content)


def test_arrays_of_earlier_are_deleted_after_an_hour(folder):
    store = update(folder)
    (old,) = store.database.parent.glob("vectors-*.npy")
    draw_scene(20).save(folder / "new.jpg")
    update(folder)
    assert old.exists()
    hour_ago = time.time() - 3700
    os.utime(old, (hour_ago, hour_ago))
    draw_scene(21).save(folder / "newer.jpg")
    update(folder)
    assert not old.exists()
