"""What the documentation has to be told of this code: `struct` makes dataclasses, and "Example:" holds examples."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Structs(griffe.Extension):
    """Arguments, types and defaults of the classes made by `ntkseq._struct.struct`; examples set as code."""

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Show a `struct` as the dataclass that it is."""
        for decorator in cls.decorators:
            if str(decorator.value).rpartition(".")[2] == "struct":
                name = griffe.ExprName("dataclass", parent=griffe.ExprName("dataclasses"))
                made = griffe.Decorator(griffe.ExprAttribute([griffe.ExprName("dataclasses"), name]),
                                        lineno=None, endlineno=None)  # fmt: skip
                cls.decorators.append(made)
                break
        for member in cls.members.values():
            if isinstance(member, griffe.Attribute):
                member.value = _default(member.value)

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Give the examples of a docstring the heading under which griffe looks for code."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def _default(value: Any) -> Any:
    """The default behind static(default=...), as of a plain field; the value itself if it is something else."""
    if not isinstance(value, griffe.ExprCall) or str(value.function) != "static":
        return value
    given = {one.name: one.value for one in value.arguments if isinstance(one, griffe.ExprKeyword)}
    if "default_factory" in given:
        return griffe.ExprCall(given["default_factory"], [])
    return given.get("default")
