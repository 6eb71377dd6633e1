import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.modbus_settings import WORDS, ModbusTcpSource, Register, RegisterMap, read_map
from edge_agent.sources.registers import blocks, number, numbers, words

REGISTER = st.builds(
    Register,
    address=st.integers(0, 100),
    type=st.sampled_from(sorted(WORDS)),
    word_order=st.sampled_from(["big", "little"]),
    scale=st.sampled_from([1.0, 0.01, -0.5, 10.0]),
    offset=st.sampled_from([0.0, -40.0, 459.67]),
)


def register(address, kind="uint16", **options):
    return Register(address=address, type=kind, **options)


@given(REGISTER, st.floats(0, 32_767))
def test_what_a_device_shows_is_read_again_within_its_resolution(one, raw):
    value = raw * one.scale + one.offset
    step = 2**-9 if one.type.startswith("float") else 1
    assert number(one, words(one, value)) == pytest.approx(value, abs=abs(one.scale) * step / 2 + 1e-9)


@pytest.mark.parametrize(
    ("one", "shown", "value"),
    [
        (register(0), [65535], 65535),
        (register(0, "int16"), [0xFFFE], -2),
        (register(0, "uint32"), [1, 2], 65538),
        (register(0, "uint32", word_order="little"), [2, 1], 65538),
        (register(0, "int64"), [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], -1),
        (register(0, "float32"), [0x3FC0, 0], 1.5),
        (register(0, "float64", word_order="little"), [0, 0, 0, 0x3FF8], 1.5),
        (register(0, scale=1.8, offset=491.67), [100], 671.67),
        (register(0, table="coil"), [1], 1),
    ],
)
def test_numbers_of_every_type_are_read(one, shown, value):
    assert number(one, shown) == pytest.approx(value)


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (register(0, missing=65535), [65535]),
        (register(0, "int32", missing=-(2**31)), [0x8000, 0]),
        (register(0, "float32"), [0x7FC0, 0]),
        (register(0, "float32"), [0x7F80, 0]),
    ],
)
def test_what_the_device_calls_missing_or_is_no_number_is_nan(one, shown):
    assert math.isnan(number(one, shown))


def test_a_value_beyond_a_register_is_shown_as_its_limit():
    assert words(register(0, scale=0.01), 1e6) == [65535]
    assert words(register(0, "int16"), -1e6) == [0x8000]


def test_neighbours_are_read_in_one_request_and_gaps_never():
    planned = blocks(
        {"c": register(4, "int32"), "a": register(0), "b": register(1, "float64"), "d": register(2, table="input")}, 125
    )
    assert [(block.table, block.address, block.count) for block in planned] == [
        ("holding", 0, 1 + 4 + 1),
        ("input", 2, 1),
    ]


def test_a_gap_begins_another_request():
    planned = blocks({"a": register(0), "b": register(2)}, 125)
    assert [(block.address, block.count) for block in planned] == [(0, 1), (2, 1)]


def test_a_request_is_no_longer_than_the_device_takes():
    planned = blocks({str(place): register(2 * place, "int32") for place in range(5)}, 5)
    assert [(block.address, block.count) for block in planned] == [(0, 4), (4, 4), (8, 2)]


def test_two_names_may_read_one_register():
    (block,) = blocks({"a": register(7), "b": register(7, "int16"), "c": register(8)}, 125)
    assert dict(numbers(block, [0xFFFF, 3])) == {"a": 65535, "b": -1, "c": 3}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "registers or as map_file"),
        ({"registers": {"channels": {}}}, "at least 1 item"),
        ({"registers": {"channels": {"T24": {"address": 65535, "type": "int32"}}}}, "ends behind the last register"),
        ({"registers": {"channels": {"T24": {"address": 1, "scale": 0}}}}, "scale is 0"),
        ({"registers": {"channels": {"T24": {"address": 1}}, "cycle": {"address": 2, "type": "float32"}}}, "counter"),
    ],
)
def test_a_wrong_map_is_named(options, named):
    with pytest.raises(ValidationError, match=named):
        ModbusTcpSource(host="127.0.0.1", **options)


def test_a_map_may_be_a_file_of_its_own(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text('cycle = {address = 0}\n[channels]\nT24 = {address = 1, type = "float32"}\n')
    source = ModbusTcpSource(host="127.0.0.1", map_file=path)
    assert source.map == RegisterMap(cycle=Register(address=0), channels={"T24": Register(address=1, type="float32")})


@pytest.mark.parametrize(
    ("text", "named"),
    [("[channels]\nT24 = {address = -1}\n", "channels.T24.address"), ("channels", "is not TOML"), (None, "No such")],
)
def test_a_wrong_map_file_is_named_with_what_is_wrong_in_it(tmp_path, text, named):
    path = tmp_path / "map.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=named) as caught:
        read_map(path)
    assert str(path) in str(caught.value)
