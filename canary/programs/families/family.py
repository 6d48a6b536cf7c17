"""A family: a task as a template, from which cases are drawn that differ in domain, names, values and wording.

Templates are `string.Template`s. What stands for `$name` is drawn for each case (`draw.py`):

    $noun $plural $id $id2 $scope_value          what the case speaks of
    $num $num2 $num3, $cnt $cnt2                 fields: amounts of one unit, counts; `$num_p` is the same in words
    $flag $flag2, $state, $note, $day $day2      fields: booleans, one of a few words, a text or None, dates
    $party, $owner $backup                       a person's record inside, and two identifiers of persons
    $children $child, $label                     the list inside, its element, and fields of that: $cnum $cnum2 $ccnt
                                                 $cflag $cflag2 $cstate
    $T $T2 $BUDGET, $K, $D, $S1 $S2 $S3, $C1    boundaries: of amounts (T < T2; BUDGET is 2 T), counts, dates; states
    $nth $index, $w1..$w4                        a position in words and as an index; words without a meaning
    $t1 $t2                                      names of message templates
    $get $key $list $scope                       tools that read, and their arguments
    $person $team                                further tools that read
    $mail $sms $post $log $task $set $annotate $assign     tools with an effect
"""

from string import Template
from typing import Literal

import msgspec

from canary.programs.behaviour import Order

Category = Literal["A", "B", "C", "D", "E"]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is solved by a program."""

    key: str
    category: Category
    prompts: tuple[str, ...]
    """The same request in other words."""
    oracle: str
    fields: tuple[str, ...]
    min_length: int = 0
    """Of the lists of records; else one world has an empty list."""
    min_children: int = 0
    paged: bool = False
    """Lists come in pages."""
    orphans: bool = False
    """A person may have no manager; else those asked for have one."""
    effects: Order = "ordered"
    twins: tuple[str, ...] = ()
    """Tools that the prompt offers as well because they are easily taken for the right one."""


class PlainFamily(msgspec.Struct, frozen=True, kw_only=True):
    """A question that is answered in words, with tools on offer that are not to be called."""

    key: str
    category: Category = "A"
    prompts: tuple[str, ...]
    pattern: str
    """RE2, after `$name`s are replaced by what stands in a row."""
    rows: tuple[dict[str, str], ...] = ({},)
    """What the `$name`s stand for, one row a case; names of the draw stand for themselves."""
    tools: tuple[str, ...] = ()
    """Tools that the prompt must offer, by their names here (`get`, `mail`); none means any."""


def slots_in(template: str) -> frozenset[str]:
    """Return the names that a template uses."""
    return frozenset(Template(template).get_identifiers())
