"""Tables as what differs from others: they come back, by SPEC.md's reader too, are short, and lies are refused."""

import contextlib

import numpy as np
import pytest

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.delta import MAX_DELTA, put_delta, take_delta
from neuralvdb.errors import DamagedFile

RNG = np.random.default_rng(3)
BASE = RNG.bytes(700)
NEW = RNG.bytes(40)
CASES = {
    "the same": (BASE, BASE, 8),
    "nothing": (b"", BASE, 1),
    "of nothing": (BASE, b"", 710),
    "two bytes": (BASE[:99] + b"ab" + BASE[101:], BASE, 12),
    "more": (BASE[:300] + NEW + BASE[300:], BASE, 60),
    "fewer": (BASE[:300] + BASE[330:], BASE, 12),
    "less at the end": (BASE[:-2], BASE, 6),
    "more at the end": (BASE + NEW, BASE, 50),
    "again": (BASE[:200] + NEW + BASE[240:500] + NEW + BASE[540:], BASE, 70),
    "a run": (BASE[:200] + b"x" * 300 + BASE[500:], BASE, 24),
    "another": (RNG.bytes(700), BASE, 720),
}


def delta(table: bytes, base: bytes) -> bytes:
    out = FieldWriter()
    put_delta(out, table, base)
    return out.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_tables_come_back(case, spec_reader):
    table, base, most = CASES[case]
    payload = delta(table, base)
    assert len(payload) <= most
    source = FieldReader(payload, "test")
    assert take_delta(source, base) == table
    source.finish()
    assert spec_reader.Cursor(payload).difference(base) == table


def test_random_changes_come_back():
    for _ in range(200):
        table = bytearray(RNG.integers(0, 3, 200, np.uint8).tobytes())
        base = bytes(table)
        for at in RNG.integers(0, 200, 6):
            table[at : at + RNG.integers(0, 9)] = RNG.integers(0, 3, RNG.integers(0, 9), np.uint8).tobytes()
        payload = delta(bytes(table), base)
        assert take_delta(FieldReader(payload, "test"), base) == table


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b"\x09\x05", "takes more of another table"),
        (b"\x03\x00\x10abcd", "not there, or too many"),
        (b"\x09\x01\x0f", "not there, or too many"),  # back beyond the beginning
        (b"\x09\x00\x05\x01", "repeats bytes that are not there"),
        (b"\x09\x01\x05\x00", "repeats bytes that are not there"),
        (b"\x09\x01\x31\x01", "not there, or too many"),  # repeats more than there may be
        (b"\x81\x80\x04", "a table of 65537 bytes"),
        (b"\x09\x00\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x01", "takes more of another table"),  # far beyond the end
        (b"\x09\x01", "ends within an integer"),
        (b"\x09\x00\x10ab", "4 bytes are declared"),
    ],
)
def test_lies_are_refused(payload, what):
    with pytest.raises(DamagedFile, match=what):
        take_delta(FieldReader(payload, "test"), b"abcd")


def test_changed_bytes_are_refused_or_small():
    payload = delta(CASES["again"][0], BASE)
    for at in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[at] ^= 1 << bit
            with contextlib.suppress(DamagedFile):
                assert len(take_delta(FieldReader(bytes(changed), "test"), BASE)) <= MAX_DELTA
