"""Make one case of a family: fill the templates, draw worlds, and add some until no mutant is taken for the oracle."""

import random
import re
from string import Template

import msgspec

from canary.grading.plain_answer import PlainAnswer
from canary.grading.program import Program
from canary.programs.adequacy import survivors, telling_world, telling_worlds
from canary.programs.behaviour import Behaviour
from canary.programs.families.draw import EFFECT_TOOLS, READING_TOOLS, Draw
from canary.programs.families.family import Family, PlainFamily, slots_in
from canary.programs.families.population import Population
from canary.programs.mutants.catalogue import mutants_of
from canary.programs.reference import OracleFailed, reference_of
from canary.programs.worlds import World

WORLDS_COUNT = 8
FRESH_WORLDS_COUNT = 48
"""Drawn for mutants that no world of the case tells from the oracle. One that these do not tell counts as the same."""
ADDED_WORLDS_COUNT = 6
DISTRACTORS_COUNT = 2
PLAIN_TOOLS_COUNT = 4

# `a user count` stays, `a amount due` does not.
_ARTICLE = re.compile(r"\ba(?= (?!us)[aeiou])")
_ALL_TOOLS = (*READING_TOOLS, *EFFECT_TOOLS)


class Workshop:
    """One case of a Family in the making, with what it takes to draw further worlds for it."""

    def __init__(self, family: Family, generator: random.Random) -> None:
        self._draw = Draw(generator, paged=family.paged)
        used = [name for name in _ALL_TOOLS if name in slots_in(family.oracle)]
        others = [name for name in _ALL_TOOLS if name not in {*used, *family.twins}]
        offered = {*used, *family.twins, *self._draw.some_of(others, DISTRACTORS_COUNT)}
        self._offered = tuple(name for name in _ALL_TOOLS if name in offered)
        self._population = Population(
            self._draw,
            min_length=family.min_length,
            min_children=family.min_children,
            orphans=family.orphans,
            two_bounds="T2" in slots_in(family.oracle),
        )
        self._drawn_count = 0
        self.prompt = _sentence(self._draw.one_of(family.prompts), self._draw.slots)
        self.program = Program(
            tools=tuple(self._draw.tool_names[name] for name in self._offered),
            define=self._draw.tools(self._offered),
            oracle=Template(family.oracle.lstrip()).substitute(self._draw.slots),
            worlds=self.fresh_worlds(WORLDS_COUNT),
            fields=tuple(Template(path).substitute(self._draw.slots) for path in family.fields),
            effects=family.effects,
        )

    def fresh_worlds(self, count: int) -> tuple[World, ...]:
        start, self._drawn_count = self._drawn_count, self._drawn_count + count
        return tuple(self._population.world(number, self._offered) for number in range(start, start + count))

    def strengthen(self) -> None:
        """Add worlds that tell apart the mutants that survive the first ones.

        Raises OracleFailed where the oracle fails, a field never matters, or a mutant would still be accepted.
        """
        task = self.program.ready({}).task
        reference = reference_of(task)
        mutants = [mutant.source for mutant in mutants_of(task, reference.behaviours[0])]
        left = survivors(mutants, task, task.worlds, reference.behaviours)
        if not left:
            return
        fresh = self.fresh_worlds(FRESH_WORLDS_COUNT)
        expected = [outcome for outcome in task.run(task.oracle, fresh) if isinstance(outcome, Behaviour)]
        if len(expected) < len(fresh):
            raise OracleFailed("the oracle fails in a fresh world")
        added: list[int] = []
        for source, telling in zip(left, telling_worlds(left, task, fresh, expected), strict=True):
            worlds, outcomes = [fresh[number] for number in added], [expected[number] for number in added]
            if telling is not None and telling_world(source, task, worlds, outcomes) is None:
                added.append(telling)
        if len(added) > ADDED_WORLDS_COUNT:
            raise OracleFailed(f"{len(added)} worlds would have to be added")
        worlds = (*self.program.worlds, *(fresh[number] for number in added))
        self.program = msgspec.structs.replace(self.program, worlds=worlds)


def plain_case(family: PlainFamily, row: dict[str, str], generator: random.Random) -> tuple[str, PlainAnswer]:
    """Return a prompt and its grader, with the tools that the family needs and others."""
    draw = Draw(generator)
    others = [name for name in _ALL_TOOLS if name not in family.tools and name != "set"]
    count = PLAIN_TOOLS_COUNT - len(family.tools)
    offered = {*family.tools, *draw.some_of(others, count)}
    names = tuple(name for name in _ALL_TOOLS if name in offered)
    slots = draw.slots | row
    return _sentence(draw.one_of(family.prompts), slots), PlainAnswer(
        tools=tuple(draw.tool_names[name] for name in names),
        define=draw.tools(names),
        pattern=Template(family.pattern).safe_substitute(slots),
    )


def _sentence(template: str, slots: dict[str, str]) -> str:
    text = _ARTICLE.sub("an", Template(template).substitute(slots))
    return text[0].upper() + text[1:]
