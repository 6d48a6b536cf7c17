"""One case's choices: a domain, the names of tools and fields, boundaries and words. All from one seeded generator."""

import datetime
import random
from collections.abc import Sequence
from typing import TypeVar

from canary.programs.families.domains import DOMAINS
from canary.programs.families.words import TEMPLATES, WORDS
from canary.programs.shapes import Shape
from canary.programs.tools import Catalogue, Tool

T = TypeVar("T")

FOCAL_COUNT = 2
"""Records that the prompt may name: `$id` and `$id2`."""
READING_TOOLS = ("get", "list", "person", "team")
EFFECT_TOOLS = ("mail", "sms", "post", "log", "task", "set", "annotate", "assign")

_ORDINALS = ("first", "second", "third")
_YEAR = 2026


class Draw:
    """The names and boundaries of one case; `slots` is what templates are filled with."""

    def __init__(self, generator: random.Random, *, paged: bool = False) -> None:
        self.random = generator
        self.paged = paged
        self.domain = self.one_of(DOMAINS)
        self.numbers = self.some_of(self.domain.numbers, 3)
        self.counts = self.some_of(self.domain.counts, 2)
        self.flags = self.some_of(self.domain.flags, 2)
        self.days = self.some_of(self.domain.days, 2)
        self.states = self.some_of(self.domain.states, 4)
        self.child_numbers = self.some_of(self.domain.child_numbers, 2)
        self.child_states = self.some_of(self.domain.child_states, 3)
        self.child_flags = self.some_of(self.domain.child_flags, 2)
        self.child_count = self.one_of(self.domain.child_counts)
        self.scopes = self.some_of(self.domain.scopes, 2)
        self.owner, self.backup = self.some_of(("owner_id", "deputy_id", "reviewer_id", "contact_id"), 2)
        initial = self.domain.noun[0].upper()
        self.ids = [f"{initial}{number}" for number in self.random.sample(range(100, 1000), FOCAL_COUNT)]
        self.bound = 10 * self.random.randint(4, 20)
        self.bound2 = self.bound + 10 * self.random.randint(2, 6)
        self.count_bound = self.random.randint(3, 8)
        self.day_bound = datetime.date(_YEAR, self.random.randint(2, 11), self.random.randint(5, 25))
        self.tool_names = self._tool_names()
        self.slots = self._slots()

    def one_of(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def some_of(self, options: Sequence[T], count: int) -> list[T]:
        """Return this many different ones, in a drawn order."""
        return self.random.sample(list(options), count)

    @property
    def key(self) -> str:
        """The argument by which one record is asked for."""
        return f"{self.domain.noun}_id"

    def tools(self, names: Sequence[str]) -> Catalogue:
        """Return these tools' definitions under their drawn names."""
        definitions = self._definitions()
        return {self.tool_names[name]: definitions[name] for name in names}

    def record_shape(self) -> dict[str, Shape]:
        person = {"name": "str", "email": "str", "phone": "str | None", "address": {"city": "str", "postcode": "str"}}
        return {
            "id": "str",
            **dict.fromkeys(self.numbers, "float"),
            **dict.fromkeys(self.counts, "int"),
            self.domain.state: "str",
            **dict.fromkeys(self.flags, "bool"),
            self.domain.note: "str | None",
            **dict.fromkeys(self.days, "str"),
            self.domain.party: person,
            self.owner: "str",
            self.backup: "str",
            self.domain.children: [self._child_shape()],
        }

    def _child_shape(self) -> dict[str, Shape]:
        return {
            self.domain.label: "str",
            **dict.fromkeys(self.child_numbers, "float"),
            self.child_count: "int",
            self.domain.child_state: "str",
            **dict.fromkeys(self.child_flags, "bool"),
        }

    def _tool_names(self) -> dict[str, str]:
        noun, plural = self.domain.noun, self.domain.plural
        return {
            "get": f"{self.one_of(('get', 'fetch', 'read', 'load'))}_{noun}",
            "list": f"{self.one_of(('list', 'find', 'search'))}_{plural}",
            "person": f"{self.one_of(('get', 'fetch', 'look_up'))}_{self.one_of(('person', 'employee', 'colleague'))}",
            "team": f"{self.one_of(('get', 'fetch', 'look_up'))}_{self.one_of(('team', 'group', 'unit'))}",
            "mail": self.one_of(("send_email", "email_person", "mail_to")),
            "sms": self.one_of(("send_sms", "text_person", "send_text")),
            "post": self.one_of(("post_message", "post_to_channel", "announce")),
            "log": self.one_of(("write_log", "append_log", "log_entry")),
            "task": self.one_of(("create_task", "open_task", "add_task")),
            "set": f"{self.one_of(('set', 'update', 'change'))}_{noun}_{self.domain.state}",
            "annotate": f"{self.one_of(('add', 'attach'))}_{noun}_note",
            "assign": f"{self.one_of(('assign', 'hand_over', 'delegate'))}_{noun}",
        }

    def _definitions(self) -> Catalogue:
        noun, plural, state = self.domain.noun, self.domain.plural, self.domain.state
        record = self.record_shape()
        pages: dict[str, Shape] = {"next_page": "int | None"} if self.paged else {}
        return {
            "get": Tool(description=f"Return one {noun}.", arguments={self.key: "str"}, returns=record),
            "list": Tool(
                description=f"Return the {plural} of one {self.domain.scope}"
                + (", one page of them; `next_page` is None on the last." if self.paged else "."),
                arguments={self.domain.scope: "str"} | ({"page": "int"} if self.paged else {}),
                defaults={"page": 1} if self.paged else {},
                returns={plural: [record], **pages},
            ),
            "person": Tool(
                description="Return a person of the staff.",
                arguments={"person_id": "str"},
                returns={
                    "name": "str",
                    "email": "str",
                    "level": "int",
                    "on_leave": "bool",
                    "manager_id": "str | None",
                    "team_id": "str",
                },
            ),
            "team": Tool(
                description="Return a team of the staff.",
                arguments={"team_id": "str"},
                returns={"name": "str", "channel": "str", "size": "int", "lead_id": "str"},
            ),
            "mail": _effect("Send an email from a template.", to="str", template="str"),
            "sms": _effect("Send a text message from a template.", to="str", template="str"),
            "post": _effect("Post a text in a channel.", channel="str", text="str"),
            "log": _effect("Write a line to the log.", text="str"),
            "task": Tool(
                description="Create a task for a person of the staff and return its identifier.",
                effect=True,
                arguments={"assignee": "str", "title": "str"},
                returns={"task_id": "str"},
            ),
            "set": _effect(f"Set the {state} of a {noun}.", **{self.key: "str", state: "str"}),
            "annotate": _effect(f"Add a note to a {noun}.", **{self.key: "str", "text": "str"}),
            "assign": _effect(f"Hand a {noun} to a person of the staff.", **{self.key: "str", "person_id": "str"}),
        }

    def _slots(self) -> dict[str, str]:
        domain = self.domain
        words = self.some_of(WORDS, 4)
        templates = self.some_of(TEMPLATES, 2)
        index = self.random.randint(0, 2)
        fields = {
            **{f"num{place or ''}": name for place, name in zip((0, 2, 3), self.numbers, strict=True)},
            **{f"cnt{place or ''}": name for place, name in zip((0, 2), self.counts, strict=True)},
            **{f"flag{place or ''}": name for place, name in zip((0, 2), self.flags, strict=True)},
            **{f"day{place or ''}": name for place, name in zip((0, 2), self.days, strict=True)},
            **{f"cnum{place or ''}": name for place, name in zip((0, 2), self.child_numbers, strict=True)},
            **{f"cflag{place or ''}": name for place, name in zip((0, 2), self.child_flags, strict=True)},
            "ccnt": self.child_count,
            "state": domain.state,
            "note": domain.note,
            "party": domain.party,
            "owner": self.owner,
            "backup": self.backup,
            "children": domain.children,
            "label": domain.label,
            "cstate": domain.child_state,
            "scope": domain.scope,
        }
        return {
            **self.tool_names,
            **fields,
            **{f"{slot}_p": name.removesuffix("_id").replace("_", " ") for slot, name in fields.items()},
            **{f"S{number}": state for number, state in enumerate(self.states, start=1)},
            **{f"C{number}": state for number, state in enumerate(self.child_states, start=1)},
            **{f"w{number}": word for number, word in enumerate(words, start=1)},
            **{f"t{number}": word for number, word in enumerate(templates, start=1)},
            "noun": domain.noun,
            "plural": domain.plural,
            "child": domain.child,
            "key": self.key,
            "id": self.ids[0],
            "id2": self.ids[1],
            "scope_value": self.scopes[0],
            "scope_value2": self.scopes[1],
            "T": str(self.bound),
            "T2": str(self.bound2),
            "BUDGET": str(2 * self.bound),
            "K": str(self.count_bound),
            "D": self.day_bound.isoformat(),
            "index": str(index),
            "nth": _ORDINALS[index],
        }


def _effect(description: str, **arguments: Shape) -> Tool:
    return Tool(description=description, effect=True, arguments=arguments)
