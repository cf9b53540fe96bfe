"""What users write in options: lists of names, numbers, and pairs."""

from __future__ import annotations

from collections.abc import Sequence

from agriseg.errors import OptionError

__all__ = ["class_names", "constants", "numbers", "one_or_all", "pairs", "some_or_none", "words"]


def one_or_all(given: Sequence[str]) -> str | Sequence[str]:
    """One path as itself: it may stand for many."""
    return given[0] if len(given) == 1 else given


def words(text: str | None, option: str) -> tuple[str, ...]:
    """The names in a list such as crop,weed; none where nothing was said.

    Raises:
        OptionError: There are none in what was said.
    """
    if text is None:
        return ()
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise OptionError(f"{option} {text!r}: names are needed, with commas between")
    return found


def some_or_none(text: str | None, option: str) -> tuple[str, ...] | None:
    """As `words`, but `none` stands for no names; None where nothing was said.

    Raises:
        OptionError: There are none in what was said.
    """
    if text is None:
        return None
    return () if text.strip().lower() == "none" else words(text, option)


def numbers(text: str | None, option: str, count: int | None = None) -> list[float] | None:
    """Read numbers with commas between them: `count` of them, or any number.

    Raises:
        OptionError: They are not.
    """
    if text is None:
        return None
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not values or count not in (None, len(values)):
        many = "" if count is None else f"{count} "
        raise OptionError(f"{option} {text!r}: expected {many}numbers with commas between them")
    return values


def pairs(texts: Sequence[str], option: str, such_as: str) -> dict[str, str]:
    """Read pairs such as 1=crop, one in each text.

    Raises:
        OptionError: They are none, or the first of a pair stands in two with different seconds.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.rpartition("="))
        if not (key and equals and value):
            raise OptionError(f"{option} {text!r}: expected are pairs such as {such_as}")
        if found.setdefault(key, value) != value:
            raise OptionError(f"{option} {key} is given twice, {found[key]} and {value}")
    return found


def class_names(text: str | None) -> dict[int, str] | None:
    """Read names of classes such as 0=soil,1=crop.

    Raises:
        OptionError: They are not.
    """
    if text is None:
        return None
    found = pairs(words(text, "--names"), "--names", "1=crop")
    for value, name in found.items():
        if not value.isdecimal():
            raise OptionError(
                f"--names '{value}={name}': expected are pairs of a number and a name, such as "
                "1=crop"
            )
    return {int(value): name for value, name in found.items()}


def constants(texts: Sequence[str] | None) -> dict[str, float]:
    """Read constants of formulas such as L=0.25.

    Raises:
        OptionError: They are not.
    """
    found: dict[str, float] = {}
    for name, value in pairs(texts or (), "--param", "L=0.25").items():
        try:
            found[name] = float(value)
        except ValueError:
            raise OptionError(
                f"--param '{name}={value}': expected are pairs of a name and a number, such as "
                "L=0.25"
            ) from None
    return found
