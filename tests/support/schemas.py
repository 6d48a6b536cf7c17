"""Random JSON Schemas, of the keywords that clients use for structured output; one seed gives one schema."""

from random import Random
from typing import Any

Schema = dict[str, Any]

_NAMES = ("name", "age", "items", "kind", "a b", "ключ", "x/y", 'say "hi"', "_id", "n1")
_FORMATS = ("date", "time", "date-time", "email", "ipv4", "uuid", "hostname", "duration", "uri", "ipv6")
_PATTERNS = (r"^[a-z]{1,5}$", r"^\d{3}-\d{4}$", r"^(red|green|blue)$", r"[A-Z]", r"^x.*y$", r"^[^\"\\]{0,6}$", r"^\w+$")


def random_schema(seed: int) -> Schema:
    """Return a schema of an object, as OpenAI demands; what it contains is whatever comes."""
    return _Maker(Random(seed)).document()  # noqa: S311 - reproducible, and nobody's secret


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random

    def document(self) -> Schema:
        schema = self._object(depth=0)
        if self._random.random() < 0.2:
            schema["$defs"] = {"node": self._object(depth=2)}
            schema["properties"]["node"] = {"$ref": "#/$defs/node"}
            schema["required"].append("node")
        if self._random.random() < 0.15:
            schema["properties"]["children"] = {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}
            schema["required"].append("children")
        return schema

    def _schema(self, depth: int) -> Schema:
        leaves = [self._string, self._integer, self._number, self._fixed, self._any_of_types]
        inner = [self._object_at, self._array, self._union, self._all_of]
        made = self._random.choice(leaves if depth >= 3 else leaves + inner + inner)(depth)
        if self._random.random() < 0.2:
            made["description"] = "Anything at all."
        return made

    def _object_at(self, depth: int) -> Schema:
        return self._object(depth)

    def _object(self, depth: int) -> Schema:
        random = self._random
        names = random.sample(_NAMES, random.randint(1, 4))
        schema: Schema = {
            "type": "object",
            "properties": {name: self._schema(depth + 1) for name in names},
            "required": [name for name in names if random.random() < 0.7],
        }
        more = random.random()
        if more < 0.6:
            schema["additionalProperties"] = False
        elif more < 0.75:
            schema["additionalProperties"] = self._schema(3)
        if random.random() < 0.1:
            schema["patternProperties"] = {"^p_": self._schema(3)}
        if random.random() < 0.15:  # llguidance counts properties only where all that are named are required
            schema["required"] = names
            schema["minProperties"] = len(names)
            schema["maxProperties"] = len(names) + 2
        return schema

    def _array(self, depth: int) -> Schema:
        random = self._random
        schema: Schema = {"type": "array", "items": self._schema(depth + 1)}
        least = random.randint(0, 2)
        if random.random() < 0.5:
            schema["minItems"] = least
        if random.random() < 0.7:
            schema["maxItems"] = least + random.randint(0, 3)
        if random.random() < 0.2:
            schema["prefixItems"] = [self._schema(depth + 1) for _ in range(random.randint(1, 2))]
            schema.pop("maxItems", None)
            schema.pop("minItems", None)
            if random.random() < 0.5:
                schema["items"] = False
        return schema

    def _string(self, _: int) -> Schema:
        random = self._random
        schema: Schema = {"type": "string"}
        kind = random.random()
        if kind < 0.2:
            schema["pattern"] = random.choice(_PATTERNS)
        elif kind < 0.4:
            schema["format"] = random.choice(_FORMATS)
        elif kind < 0.7:
            schema["minLength"] = random.randint(0, 3)
            schema["maxLength"] = schema["minLength"] + random.randint(0, 9)
        return schema

    def _integer(self, _: int) -> Schema:
        random = self._random
        schema: Schema = {"type": "integer"}
        if random.random() < 0.5:
            low = random.randint(-1000, 1000)
            schema[random.choice(["minimum", "exclusiveMinimum"])] = low
            schema[random.choice(["maximum", "exclusiveMaximum"])] = low + random.randint(3, 5000)
        elif random.random() < 0.3:
            schema["multipleOf"] = random.choice([2, 3, 5, 10, 64])
        return schema

    def _number(self, _: int) -> Schema:
        random = self._random
        schema: Schema = {"type": "number"}
        if random.random() < 0.5:
            low = round(random.uniform(-50, 50), 2)
            schema[random.choice(["minimum", "exclusiveMinimum"])] = low
            schema[random.choice(["maximum", "exclusiveMaximum"])] = round(low + random.uniform(0.5, 100), 2)
        return schema

    def _fixed(self, _: int) -> Schema:
        random = self._random
        values: list[Any] = [True, None, 0, -1.5, "one", "", "zwei\n", 'q"', "日本", {"a": [1, 2]}, [], 10**12]
        if random.random() < 0.3:
            return {"const": random.choice(values)}
        return {"enum": random.sample(values, random.randint(1, 5))}

    def _any_of_types(self, _: int) -> Schema:
        kinds = ["string", "integer", "number", "boolean", "null"]
        return {"type": self._random.sample(kinds, self._random.randint(1, 3))}

    def _union(self, depth: int) -> Schema:
        return {"anyOf": [self._schema(depth + 1) for _ in range(self._random.randint(2, 3))]}

    def _all_of(self, depth: int) -> Schema:
        low = self._random.randint(0, 5)
        return {"allOf": [self._object(depth + 1), {"type": "object", "description": f"At least {low}."}]}
