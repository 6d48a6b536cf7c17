from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.prefix_tree import Node, PrefixTree, common_length

Run = tuple[int, ...]
"""What is kept for a run is, in these tests, the run itself."""
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=24).map(tuple)


def _tree() -> PrefixTree[Run]:
    return PrefixTree[Run](lambda run, length: (run[:length], run[length:]))


def _add(tree: PrefixTree[Run], tokens: Run, *cuts: int) -> tuple[list[Node[Run]], list[Node[Run]]]:
    return tree.add(tokens, cuts, lambda start, end: tokens[start:end])


def _naive(known: list[Run], tokens: Run) -> int:
    return max((common_length(one, tokens) for one in known), default=0)


@given(st.lists(TOKENS, max_size=12), TOKENS)
def test_the_longest_known_prefix_is_found_to_the_token(known: list[Run], tokens: Run) -> None:
    tree = _tree()
    for one in known:
        _add(tree, one, 3, 7)
    path, length = tree.match(tokens)
    assert length == _naive(known, tokens)
    assert tuple(token for node in path for token in node.tokens)[:length] == tokens[:length]


@given(st.lists(TOKENS, min_size=1, max_size=12))
def test_every_node_keeps_what_belongs_to_its_tokens_however_often_it_is_divided(known: list[Run]) -> None:
    tree = _tree()
    for one in known:
        path, _ = _add(tree, one)
        assert tuple(token for node in path for token in node.tokens) == one
    for node in tree.root.subtree():
        assert node.tokens == (node.run or ())
        assert all(first == child.tokens[0] and child.parent is node for first, child in node.children.items())


def test_what_is_new_is_cut_where_it_is_told() -> None:
    path, changed = _add(_tree(), (1, 2, 3, 4, 5), 2, 4, 5, 9)
    assert [node.tokens for node in path] == [(1, 2), (3, 4), (5,)]
    assert changed == path


def test_what_is_known_is_not_made_again() -> None:
    tree = _tree()
    _add(tree, (1, 2, 3))
    made: list[tuple[int, int]] = []

    def run_of(start: int, end: int) -> Run:
        made.append((start, end))
        return (0,) * (end - start)

    tree.add((1, 2, 3, 4, 5), (), run_of)
    tree.add((1, 2, 3), (), run_of)
    assert made == [(3, 5)]


def test_a_node_that_is_left_in_the_middle_is_divided_and_both_halves_are_told() -> None:
    tree = _tree()
    ((whole,), _) = _add(tree, (1, 2, 3, 4))
    path, changed = _add(tree, (1, 2, 9))
    assert [node.tokens for node in path] == [(1, 2), (9,)]
    assert [node.tokens for node in changed] == [(1, 2), (3, 4), (9,)]
    assert whole.tokens == (3, 4)


def test_a_removed_node_takes_all_below_it() -> None:
    tree = _tree()
    _add(tree, (1, 2, 3, 4), 2)
    path, _ = tree.match((1, 2, 3, 4))
    tree.remove(path[0])
    assert tree.match((1, 2, 3, 4)) == ([], 0)
    assert [node.tokens for node in path[0].subtree()] == [(1, 2), (3, 4)]


@given(TOKENS, TOKENS)
def test_the_common_length_is_that_of_the_longest_equal_beginning(one: Run, other: Run) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length in {len(one), len(other)}


def test_long_sequences_are_compared_to_the_token() -> None:
    one = tuple(range(1000))
    assert common_length(one, (*one[:777], -1, *one[778:])) == 777
    assert common_length(one, one) == 1000
    assert common_length(one, one[:640]) == 640
