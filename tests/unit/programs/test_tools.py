"""Tools, their types, and worlds that fit them."""

import re
from typing import Any

import msgspec
import pytest

from canary.programs.shapes import check_shape, conform
from canary.programs.stubs import render_stubs
from canary.programs.tools import Tool, argument_key, read_catalogue
from canary.programs.worlds import typed_world

ORDER: dict[str, Any] = {"id": "str", "total": "float", "customer": {"phone": "str | None"}, "items": [{"qty": "int"}]}
GET = Tool(description="Return one order.", arguments={"order_id": "str"}, returns=ORDER)
PAGE = Tool(description="Return a page.", arguments={"of": "str", "page": "int"}, defaults={"page": 1}, returns=["str"])


@pytest.mark.parametrize("shape", ["string", "int | str", 5, None, [], ["int", "int"], {"a b": "int"}, {"a": ["x"]}])
def test_what_is_no_type_is_refused_with_its_place(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"^returns"):
        check_shape(shape, "returns")


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (True, "int"),
        (1.5, "int"),
        ("1", "int"),
        (None, "int"),
        (1, "bool"),
        (float("nan"), "float"),
        (True, "float"),
        ([1], "int"),
    ],
)
def test_a_value_of_another_type_does_not_conform(value: Any, shape: str) -> None:
    with pytest.raises(ValueError, match=r"^here"):
        conform(value, shape, "here")


def test_a_whole_number_where_a_float_is_asked_for_becomes_one() -> None:
    assert repr(conform({"a": [1, 2.5]}, {"a": ["float"]}, "here")) == "{'a': [1.0, 2.5]}"


@pytest.mark.parametrize(
    ("positional", "named", "bound"),
    [
        (("a",), {}, {"of": "a", "page": 1}),
        (("a", 2), {}, {"of": "a", "page": 2}),
        ((), {"page": 3, "of": "a"}, {"of": "a", "page": 3}),
    ],
)
def test_arguments_are_bound_as_python_binds_them(
    positional: tuple[Any, ...], named: dict[str, Any], bound: dict[str, Any]
) -> None:
    assert PAGE.bind(positional, named) == bound


@pytest.mark.parametrize(
    ("positional", "named", "complaint"),
    [
        ((), {}, "needs of"),
        (("a", 1, 2), {}, "takes 2 arguments, not 3"),
        (("a",), {"of": "b"}, "'of' twice"),
        ((), {"off": "a"}, "no argument 'off'"),
        (("a", "1"), {}, "page: int is needed, not str"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    positional: tuple[Any, ...], named: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        PAGE.bind(positional, named)


@pytest.mark.parametrize(
    ("tool", "complaint"),
    [
        ('arguments = { class = "str" }', "no name for an argument"),
        ('arguments = { a = "text" }', "unknown type 'text'"),
        ('arguments = { a = "int" }\ndefaults = { a = "x" }', "default of a"),
        ("defaults = { a = 1 }", "belongs to no argument"),
        ('arguments = { a = "int", b = "int" }\ndefaults = { a = 1 }', "precedes one without"),
        ('returns = { a = ["int", "int"] }', "a list that holds one type"),
    ],
)
def test_a_bad_definition_is_refused_by_the_tools_name(tool: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"tool get: .*{complaint}"):
        read_catalogue(f'[tools.get]\ndescription = "x"\n{tool}\n'.encode())


def test_an_unknown_key_of_a_definition_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="effects"):
        read_catalogue(b'[tools.get]\ndescription = "x"\neffects = true\n')


def test_worlds_are_typed_and_their_keys_made_canonical() -> None:
    world = {"page": {'{"of": "a"}': ["x"], "*": []}}

    assert typed_world(world, {"page": PAGE}, "world 0") == {"page": {'{"of":"a","page":1}': ["x"], "*": []}}


@pytest.mark.parametrize(
    ("world", "complaint"),
    [
        ({"get_order": {"*": {}}}, "world 0.get_order[*]: the field 'id' is missing"),
        ({"get": {"*": {}}}, "'get' is none of the case's tools"),
        ({"get_order": {"O1": {}}}, "the key 'O1'"),
        ({"get_order": {'{"id":"O1"}': {}}}, "no argument 'id'"),
        (
            {"get_order": {"*": {"id": "O1", "total": "5", "customer": {"phone": None}, "items": []}}},
            "world 0.get_order[*].total: float is needed, not str",
        ),
        (
            {"get_order": {"*": {"id": "O1", "total": 5, "customer": {"phone": None}, "items": [{"qty": 1.5}]}}},
            "world 0.get_order[*].items.0.qty: int is needed, not float",
        ),
        (
            {"get_order": {"*": {"id": "O1", "total": 5, "customer": {"phone": None}, "items": [], "extra": 1}}},
            "unknown field 'extra'",
        ),
    ],
)
def test_a_world_that_does_not_type_check_is_refused_with_its_place(world: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        typed_world(world, {"get_order": GET}, "world 0")


def test_keys_do_not_depend_on_the_order_of_arguments() -> None:
    assert argument_key({"b": 1, "a": "x"}) == argument_key({"a": "x", "b": 1}) == '{"a":"x","b":1}'


def test_stubs_write_each_record_once_and_name_none_twice() -> None:
    other = Tool(description="List.", arguments={}, returns={"orders": [ORDER], "customer": {"name": "str"}})
    log = Tool(description="Log.", effect=True, arguments={"text": "str", "level": "int"}, defaults={"level": 2})

    text = render_stubs({"get_order": GET, "list_orders": other, "write_log": log})

    classes = re.findall(r"class (\w+)\(", text)
    assert len(classes) == len(set(classes)) == 5
    assert "def get_order(order_id: str) -> Order:" in text
    assert "orders: list[Order]" in text
    assert "    phone: str | None" in text
    assert 'def write_log(text: str, level: int = 2) -> None:\n    """Log."""' in text
    compile(f"from typing import TypedDict\n{text}", "stubs", "exec")
