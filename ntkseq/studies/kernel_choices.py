"""Which kernels does a study compute? What was typed or passed, as kernels with a name and a line of words each."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import itertools
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ntkseq import _checks, _display
from ntkseq._types import AnyArray, Lengths
from ntkseq.empirical import NTK
from ntkseq.kernels import Dense, Kernel, Serial, catalogue
from ntkseq.kernels.base import Scaled, Sum
from ntkseq.studies import kernel_files

EMPIRICAL = "empirical"
SHOWN = (
    *("kind", "activation", "depth", "sigma_w", "sigma_u", "sigma_b", "read", "direction", "h0", "sigma_h"),
    *("sigma_r", "train"),
)
"""Settings that `described` has its own words for."""
WORDS = 300  # letters of a kernel in words, at most


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """One kernel of a study.

    Attributes:
        name: short, different in a study.
        label: what it is, in a line, but for what settings say.
        make: the kernel for sequences of shape (t, d).
        settings: what was set, by name; empty for an object.
        entry: its short name; empty for an object, a file or code.
        own: what was set for it alone.
        takes: the names of settings that it has; none for an object.
        vectors: whether it takes sequences laid out as one vector.
    """

    name: str
    label: str
    make: Callable[[tuple[int, int]], Kernel]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    entry: str = ""
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes: tuple[str, ...] = ()
    vectors: bool = False

    @property
    def text(self) -> str:
        """The word of a command that asks for it, for one with a short name: beside the options of the study."""
        return f"{self.entry}:{','.join(f'{k}={_text(v)}' for k, v in self.own.items())}" if self.own else self.entry

    def inputs(self, x: AnyArray, lengths: Lengths) -> tuple[Any, Any]:
        """Sequences (n, t, d) and their lengths as the kernel takes them.

        Raises:
            ValueError: sequences of several lengths for a kernel of vectors.
        """
        if not self.vectors:
            return x, lengths
        if lengths is not None:
            raise ValueError(
                f"kernel {self.name!r} needs sequences of one length; got ragged ones. Take kernel 'recurrent'."
            )
        return x.reshape(len(x), -1), None


def choices(asked: object, options: Mapping[str, Any], changed: tuple[str, ...]) -> tuple[Choice, ...]:
    """The kernels asked for.

    A text is names with commas between; a name may have settings, `gru:particles=512,sigma_w=1.2`, in which commas
    without a `=` behind them begin the next kernel. FILE.toml describes blocks, `module:object` and `FILE.py:object`
    name a kernel in Python, `empirical:module:function` the parameters and the f of a network.

    Args:
        asked: a text, a kernel, several of either, or a mapping from names to them.
        options: settings by name, of which each short name takes those that its kernel has.
        changed: those that are not as by default.

    Raises:
        ValueError: an unknown name or setting, a name twice, an option that none of the kernels has.
        OSError, ImportError: a file or a module that is not there.
    """
    if isinstance(asked, str):
        named = [(None, one) for one in _split(asked)]
    elif isinstance(asked, Mapping):
        named = list(asked.items())
    elif isinstance(asked, Kernel):
        named = [(None, asked)]
    elif isinstance(asked, (list, tuple)):
        named = [(None, one) for many in asked for one in (_split(many) if isinstance(many, str) else [many])]
    else:
        raise ValueError(
            f"kernel must be a name, a Kernel or several of them; got {_checks.shown(asked)}. See kernels.names()."
        )
    made = tuple([_choice(name, one, options) for name, one in named])
    if not made:
        raise ValueError("kernel must name one kernel at least; got none.")
    _check_options(made, changed, options)
    return _different(made)


def _split(text: str) -> list[str]:
    """The kernels in a text; a piece that begins with `name=` goes on with the settings of the kernel before."""
    pieces: list[str] = []
    for piece in text.split(","):
        head = piece.partition("=")[0]
        if pieces and "=" in piece and ":" not in head and "=" in pieces[-1]:
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece.strip())
    return pieces


def _choice(name: str | None, one: object, options: Mapping[str, Any]) -> Choice:
    if name is not None:
        _checks.text("kernel", name)
    if isinstance(one, Kernel):
        return _of_object(name or type(one).__name__, one)
    if not isinstance(one, str):
        raise ValueError(f"kernel must be a name or a Kernel; got {_checks.shown(one)}. See kernels.names().")
    if one.endswith(".toml"):
        return _of_object(name or pathlib.Path(one).stem, kernel_files.load(one))
    head, colon, rest = one.partition(":")
    if rest and "=" not in rest and head not in catalogue.ENTRIES:
        return _of_code(name, one)
    if "." in head and head not in catalogue.ENTRIES:
        raise ValueError(
            f"kernel {one!r}: a file ends in .toml, an object in Python is module:object or FILE.py:object."
        )
    if not head:
        raise ValueError(f"kernel must name a kernel before and behind every comma and colon; got {one!r}.")
    if head == EMPIRICAL:
        raise ValueError(f"kernel {one!r}: an empirical kernel is empirical:MODULE:FUNCTION, or FILE.py for MODULE.")
    entry = catalogue.find(head)
    own: dict[str, Any] = {}
    for piece in rest.split(",") if colon else ():
        key, value = _setting(piece, one)
        if key in own:
            raise ValueError(f"kernel {one!r} has {key} twice. Leave one of them out.")
        own[key] = value
    given = {key: value for key, value in options.items() if key in entry.settings} | own
    kernel = catalogue.get(head, **given)
    return Choice(name or one, entry.label, lambda shape: kernel, given, head, own, entry.settings, entry.vectors)


def _setting(piece: str, where: str) -> tuple[str, Any]:
    key, equals, text = piece.partition("=")
    if not equals or not key.strip() or not text.strip():
        raise ValueError(f"kernel {where!r}: settings are name=value with commas between; got {piece!r}.")
    return key.strip(), _value(text.strip())


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _text(value: object) -> str:
    """What `_value` reads as this."""
    return repr(value) if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _of_object(name: str, kernel: Kernel) -> Choice:
    return Choice(name, words(kernel), lambda shape: kernel, vectors=_of_vectors(kernel))


def _of_vectors(kernel: Kernel) -> bool:
    """Whether it is a kernel of vectors, or made of such."""
    if isinstance(kernel, Sum):
        return _of_vectors(kernel.first) and _of_vectors(kernel.second)
    return isinstance(kernel, Dense) or (isinstance(kernel, Scaled) and _of_vectors(kernel.kernel))


def _of_code(name: str | None, text: str) -> Choice:
    """A kernel, or f and its parameters, in Python: an object, or what a function gives."""
    place, wanted = text, False
    if text.startswith(f"{EMPIRICAL}:"):
        place, wanted = text.removeprefix(f"{EMPIRICAL}:"), True
    held = _loaded(place)
    if isinstance(held, Kernel) and not wanted:
        return dataclasses.replace(_of_object(name or place, held), label=f"{place}, {words(held)}")
    if isinstance(held, tuple):
        kernel = _kernel_of(held, text)
        return Choice(name or text, f"empirical NTK of {place}", lambda shape: kernel)
    if not callable(held):
        raise ValueError(f"kernel {text!r} must be a Kernel, (f, params) or a function; got {_checks.shown(held)}.")
    wants = [one for one in inspect.signature(held).parameters.values() if one.default is one.empty]
    wants = [one for one in wants if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    takes = [one for one in wants if one.kind is not one.KEYWORD_ONLY]
    if len(wants) > 1 or wants != takes:
        raise ValueError(
            f"kernel {text!r}: the function must take nothing, or the shape (t, d) of an example, and give a Kernel or "
            f"(f, params); it takes {', '.join(one.name for one in wants)}."
        )
    label = f"empirical NTK of {place}()" if wanted else f"what {place}() gives"
    return Choice(name or text, label, lambda shape: _kernel_of(held(*(shape,) * len(takes)), text, wanted))


def _kernel_of(made: object, text: str, wanted: bool = True) -> Kernel:
    if isinstance(made, Kernel) and (isinstance(made, NTK) or not wanted):
        return made
    if isinstance(made, tuple) and len(made) == 2:
        first, second = made if callable(made[0]) else made[::-1]
        if callable(first):
            return NTK(first, second)
    kernel = "" if wanted else "a Kernel or "
    raise ValueError(
        f"kernel {text!r} must give {kernel}(f, params), with f(params, x) of one example; got {_checks.shown(made)}."
    )


def _loaded(place: str) -> Any:
    """The object at module:object or FILE.py:object; modules are looked for in the working directory, too."""
    module, _, attribute = place.rpartition(":")
    if module.endswith(".py"):
        path = pathlib.Path(module)
        if not path.exists():
            raise ValueError(f"kernel {place!r}: {module}: no such file.")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None  # of a name that ends in .py
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    else:
        sys.path.insert(0, "")
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            near = catalogue.nearest(module, catalogue.ENTRIES)
            hint = near if near.startswith(".") else " in the working directory or among those installed."
            raise ValueError(f"kernel {place!r}: no module {module!r}{hint}") from None
        finally:
            sys.path.remove("")
    held: Any = found
    for one in attribute.split("."):
        if not hasattr(held, one):
            known = [key for key in vars(held) if not key.startswith("_")] if hasattr(held, "__dict__") else []
            raise ValueError(f"kernel {place!r}: {module} has no {one!r}{catalogue.nearest(one, known)}")
        held = getattr(held, one)
    return held


def described(one: Choice) -> str:
    """A kernel in one line: what differs from nothing."""
    held, kind = one.settings, one.settings.get("kind", "ntk")
    if not one.takes:
        return one.label
    shown = f"{one.label} {str(kind).upper()}"
    if "activation" in held:
        shown += f", {held['activation']}"
    if "depth" in held:
        shown += f", {held['depth']} layer{'s' if held['depth'] != 1 else ''}"
    shown += "".join(f", {key} = {_short(held[key])}" for key in ("sigma_w", "sigma_u", "sigma_b") if key in held)
    shown += f", read-out: {held['read']}" if "read" in held else ""
    shown += f", direction: {held['direction']}" if "direction" in held else ""
    if held.get("h0", "zero") != "zero":
        shown += f", {held['h0']} initial state, sigma_h = {_short(held.get('sigma_h', 0.0))}"
    if held.get("sigma_r", 1.0) != 1.0:
        shown += f", sigma_r = {_short(held['sigma_r'])}"
    shown += f", trained: {held['train'] or 'nothing'}" if held.get("train") is not None else ""
    more = [key for key in held if key not in SHOWN]
    return shown + "".join(f", {key} = {_short(held[key])}" for key in more)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_options(made: tuple[Choice, ...], changed: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Refuse an option that was set and that none of the kernels has."""
    for key in changed:
        if any(key in one.takes for one in made):
            continue
        if not any(one.takes for one in made):
            raise ValueError(
                f"{key} belongs to kernels with a short name; got {made[0].name!r}. Set it where that kernel is made."
            )
        raise ValueError(
            f"kernel {made[0].name!r} has no {key}; got {options[key]!r}. Leave it out, or take kernel 'recurrent'."
        )


def _different(made: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """With numbers behind names of objects that come twice.

    Raises:
        ValueError: a short name with the same settings twice.
    """
    known: set[str] = set()
    named = []
    for one in made:
        if any(one.takes and one.name == other.name and other.takes for other in named):
            raise ValueError(f"kernel {one.name!r} is asked for twice. Leave one of them out.")
        free = (f"{one.name} {i}" for i in itertools.count(2))
        name = one.name if one.name not in known else next(name for name in free if name not in known)
        known.add(name)
        named.append(dataclasses.replace(one, name=name))
    return tuple(named)


def words(kernel: Kernel) -> str:
    """A kernel in a line: the blocks of a network in a row, or its arguments."""
    if isinstance(kernel, Serial):
        return f"{', '.join(map(_block, kernel.blocks))}; read-out: {kernel.read} ({kernel.kind.upper()})"
    text = _display.line(kernel)
    return text if len(text) <= WORDS else f"{text[: WORDS - 1]}…"


def _block(one: object) -> str:
    inner = getattr(one, "blocks", None)
    if inner is not None:
        return f"{type(one).__name__}({', '.join(map(_block, inner))})"
    cell = getattr(one, "cell", None)
    return type(one).__name__ if cell is None else f"{type(one).__name__}({type(cell).__name__})"
