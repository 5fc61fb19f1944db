"""Values that a JSON schema allows, for the part of the language that our documents use."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import strategies as st

_LONGEST = 4
"""Lists are kept short; their greatest length is tested where it belongs."""


def values_of(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A strategy for the values that a schema allows.

    Args:
        schema: The schema.
        definitions: What its references lead to, by the last part of the reference.
    """
    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return st.one_of([values_of(each, definitions) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            return st.fixed_dictionaries(
                {name: values_of(each, definitions) for name, each in schema["properties"].items()}
            )
        case "array" if "prefixItems" in schema:
            return st.tuples(*(values_of(each, definitions) for each in schema["prefixItems"])).map(list)
        case "array":
            least = schema.get("minItems", 0)
            most = min(schema.get("maxItems", least + _LONGEST), least + _LONGEST)
            return st.lists(values_of(schema["items"], definitions), min_size=least, max_size=most)
        case "number":
            least, most = schema.get("minimum"), schema.get("maximum")
            floats = st.floats(least, most, allow_nan=False, allow_infinity=False)
            whole = st.integers(int(max(least or -1000, -1000)), int(min(most or 1000, 1000)))
            return st.one_of(floats, whole)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "string":
            return st.text(
                st.characters(exclude_categories=["Cs"]), min_size=schema.get("minLength", 0), max_size=20
            )
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case other:
            raise AssertionError(f"no values for {other}")


def check(value: object, schema: dict[str, Any]) -> None:
    """Check that a value fits a schema, which is taken to be valid; raises what jsonschema raises where it does not."""
    validator: Any = jsonschema.Draft202012Validator(schema)
    validator.validate(value)
