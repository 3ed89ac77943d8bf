"""Fields: what is put is taken, a damaged record is refused, and the bytes are those of SPEC.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.errors import DamagedFile

BITS = {"u8": (0, 8), "u16": (0, 16), "u32": (0, 32), "u64": (0, 64), "i32": (-(1 << 31), 31)}


def integers(kind: str) -> st.SearchStrategy:
    low, bits = BITS[kind]
    return st.tuples(st.just(kind), st.integers(low, (1 << bits) - 1))


FIELD = st.one_of(
    *map(integers, BITS),
    st.tuples(st.just("varint"), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("bytes"), st.binary(max_size=300)),
)


def written(fields: list[tuple]) -> bytes:
    out = FieldWriter()
    for kind, value in fields:
        {"varint": out.put_varint, "bytes": out.put_bytes}.get(kind, lambda v, k=kind: out.put(k, v))(value)
    return out.getvalue()


def taken(data: bytes, kinds: list[str]) -> list:
    source = FieldReader(data, "here")
    special = {"varint": source.take_varint, "bytes": lambda: bytes(source.take_bytes())}
    fields = [special.get(kind, lambda k=kind: source.take(k))() for kind in kinds]
    source.finish()
    return fields


@given(st.lists(FIELD, max_size=20))
def test_what_is_put_is_taken(fields):
    assert taken(written(fields), [kind for kind, _ in fields]) == [value for _, value in fields]


@given(st.lists(FIELD, min_size=1, max_size=5), st.data())
def test_a_cut_record_is_refused(fields, data):
    whole = written(fields)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(DamagedFile, match="here"):
        taken(cut, [kind for kind, _ in fields])


@given(st.integers(0, (1 << 64) - 1))
def test_a_varint_is_as_short_as_it_can_be(value):
    data = written([("varint", value)])
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert sum((byte & 127) << 7 * index for index, byte in enumerate(data)) == value
    assert [byte >> 7 for byte in data] == [1] * (len(data) - 1) + [0]


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), ((1 << 64) - 1, "ff" * 9 + "01")],
)
def test_varint_bytes(value, bytes_):
    assert written([("varint", value)]).hex() == bytes_


def test_a_varint_of_eleven_bytes_is_refused():
    with pytest.raises(DamagedFile, match="too many bytes"):
        FieldReader(b"\x80" * 10 + b"\x00", "here").take_varint()


def test_bytes_left_over_are_refused():
    with pytest.raises(DamagedFile, match="1 bytes are left over"):
        taken(b"\x05\x06", ["u8"])


def test_a_length_beyond_the_end_is_refused_at_its_byte():
    with pytest.raises(DamagedFile, match=r"1000 bytes are declared but 2 follow \(byte 2\)"):
        FieldReader(b"\xe8\x07ab", "here").take_bytes()
