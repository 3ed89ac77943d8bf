"""Numbers of the format are the same in Python, C++ and the kernels."""

import ast
import re
from pathlib import Path

import pytest

from neuralvdb.values.lattice import constants, correction_network, mean_inputs, nearby, reference, sample_inputs

ROOT = Path(__file__).resolve().parents[2]
NATIVE = (ROOT / "neuralvdb/values/native/constants.h").read_text()
NAMES = {  # those of another shape in Python
    "kFirstHidden": constants.HIDDEN[0],
    "kSecondHidden": constants.HIDDEN[1],
    "kSymbols": constants.ESCAPE + 1,
}


def value_of(node: ast.expr) -> int | tuple:
    """What an expression of numbers is."""
    return eval(compile(ast.Expression(node), "constant", "eval"), {"__builtins__": {}})


def assigned(path: str) -> dict[str, int]:
    """The numbers that a module gives names at its top level."""
    constants = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        if not isinstance(node, ast.Assign):
            continue
        (target,) = node.targets
        pair = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
        names, values = (target.elts, node.value.elts) if pair else ([target], [node.value])
        for name, value in zip(names, values, strict=True):
            if not any(isinstance(inner, ast.Name | ast.Call | ast.Attribute) for inner in ast.walk(value)):
                constants[name.id] = value_of(value)
    return constants


def native_constants() -> dict[str, int]:
    """The constants of C++ by name."""
    constants: dict[str, int] = {}
    for line in re.findall(r"constexpr \w+ (.*?);", NATIVE):
        for name, expression in re.findall(r"(\w+) = ([^,]+)", line):
            constants[name] = eval(expression, {"__builtins__": {}}, constants)
    return constants


def test_native_constants_are_those_of_python():
    native = native_constants()
    assert len(native) > 15
    for name, value in native.items():
        python = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removeprefix("k")).upper()
        assert value == (NAMES[name] if name in NAMES else getattr(constants, python)), name


def test_native_code_has_no_other_copies():
    """Headers beside constants.h take numbers of the format from there."""
    for path in (ROOT / "neuralvdb/values/native").glob("*.h"):
        names = re.findall(r"constexpr \w+ (k\w+)", path.read_text())
        if path.name != "constants.h":
            assert not set(names) & native_constants().keys(), path
            assert not re.search(r"1 << (13|27|28|29|30)\b", path.read_text()), path


DECODED, ESCAPE, ONE = constants.MAX_DECODED, constants.ESCAPE, constants.ONE
NAMED = [
    ("kernels/zigzag.py", "ESCAPE", ESCAPE),
    ("kernels/reconstruct/__init__.py", "ESCAPE", ESCAPE),
    ("kernels/reconstruct/__init__.py", "TOP", DECODED),
    ("kernels/reconstruct/reference.py", "_ESCAPE", ESCAPE),
    ("kernels/reconstruct/reference.py", "_TOP", DECODED),
    ("kernels/quantise/__init__.py", "MOST", constants.MAX_RESIDUAL),
    ("kernels/quantise/__init__.py", "TOP", DECODED),
    ("kernels/quantise/reference.py", "MOST", constants.MAX_RESIDUAL),
    ("kernels/quantise/reference.py", "TOP", DECODED),
    ("kernels/split/__init__.py", "TOP", DECODED),
    ("kernels/split/reference.py", "TOP", DECODED),
    ("kernels/correct/__init__.py", "SHIFTS", reference.SHIFTS),
    ("kernels/correct/__init__.py", "OUTPUTS", correction_network.OUTPUTS),
    ("kernels/correct/__init__.py", "BLOCKS", nearby.BLOCKS),
    ("kernels/correct/reference.py", "_MOST", constants.MAX_PREDICTION),
    ("kernels/correct/reference.py", "_SIZES", reference.SIZES),
    ("kernels/correct/reference.py", "_MOST_INPUT", constants.MAX_INPUT),
    ("kernels/correct/reference.py", "_MOST_GAIN", correction_network.MOST_GAIN),
    ("kernels/correct/reference.py", "_MOST_SHIFT", correction_network.MOST_SHIFT),
    ("kernels/correct/reference.py", "_LEVELS", correction_network.LEVELS),
    ("kernels/predict/reference.py", "ONE", ONE),
    ("kernels/predict/reference.py", "TOP", constants.MAX_INPUT),
    ("kernels/predict/reference.py", "SHARES", constants.SHARES),
    ("kernels/predict/reference.py", "CLASSES", constants.SCALE_CLASSES),
    ("kernels/predict/reference.py", "MOST", constants.MAX_PREDICTION),
    ("kernels/predict/reference.py", "BASE", constants.MAX_BASE),
    ("kernels/predict/reference.py", "LINE", sample_inputs.layout(0, 0).line),
    ("kernels/fit/layout.py", "FIRST", constants.HIDDEN[0]),
    ("kernels/fit/layout.py", "SECOND", constants.HIDDEN[1]),
    ("kernels/fit/layout.py", "OUTPUTS", constants.OUTPUTS),
    ("kernels/fit/reference.py", "ONE", ONE),
]


@pytest.mark.parametrize(("path", "name", "value"), NAMED, ids=lambda argument: str(argument))
def test_kernels_name_the_same_numbers(path, name, value):
    assert assigned(path)[name] == value


BASE, MOST = constants.MAX_BASE.bit_length() - 1, constants.MAX_PREDICTION.bit_length() - 1
TOP, OFFSET = DECODED.bit_length() - 1, constants.MAX_OFFSET.bit_length() - 1
KNOWN, CELLS = (len(layout(0, 0).groups[0].offsets) for layout in (sample_inputs.layout, mean_inputs.layout))
BEFORE, _, BEHIND = mean_inputs.layout(0, 0).line
WRITTEN = [  # as kernels in Triton write them
    ("kernels/predict/gpu.py", f"-(1 << {BASE})), 1 << {BASE})"),
    ("kernels/predict/gpu.py", f"-(1 << {MOST})), 1 << {MOST})"),
    ("kernels/predict/gpu.py", f"-(1 << {OFFSET})), 1 << {OFFSET})"),
    ("kernels/predict/gpu.py", f">> {constants.OFFSET_BITS})"),
    ("kernels/predict/gpu.py", f">> 2) + {constants.CLASS_OF_ONE_STEP}, 0), {constants.SCALE_CLASSES - 1})"),
    ("kernels/predict/gpu.py", f"_scaled(deltas[K], b_e, {constants.MAX_INPUT})"),
    ("kernels/predict/gpu.py", f"_scaled(b_about, b_e, {4 * ONE})"),
    ("kernels/predict/gpu.py", f"b_on * {ONE}"),
    ("kernels/predict/gpu.py", f".to(tl.int32) - {constants.SHARES // 2}"),
    ("kernels/predict/gpu.py", f"deltas[{BEFORE}] - deltas[{BEHIND}]"),
    ("kernels/predict/stencil.py", f"return {CELLS} if self.mean else {KNOWN}"),
    ("kernels/reconstruct/gpu.py", f"== {ESCAPE}"),
    ("kernels/reconstruct/gpu.py", f"-(1 << {TOP})), 1 << {TOP})"),
    ("kernels/reconstruct/gpu.py", f"+ {constants.WIDTH_BITS} * b_rank"),
    ("kernels/quantise/gpu.py", f"-(1 << {TOP})), 1 << {TOP})"),
    ("kernels/split/gpu.py", f"-(1 << {TOP})), 1 << {TOP})"),
    ("kernels/zigzag.py", f"_SIZE_BITS = {constants.WIDTH_BITS}"),
]


@pytest.mark.parametrize(("path", "text"), WRITTEN, ids=lambda argument: str(argument))
def test_kernels_write_the_same_numbers(path, text):
    assert text in (ROOT / path).read_text()


def test_numbers_fit_each_other():
    assert len(constants.SAMPLE_STEPS) == constants.SAMPLE_LEVELS
    assert len(constants.MEAN_STEPS) == constants.MEAN_LEVELS - 1
    assert constants.SLOTS == constants.EDGE**3
    assert constants.MAX_DECODED == 2 * constants.LIMIT
    assert constants.SAMPLE_STEPS[0] == 2 * constants.UNITS_PER_ERROR
