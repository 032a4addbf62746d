"""The rules that a journal was traded by, and which of them this version can replay."""

from collections.abc import Mapping

from engine.errors import JournalError

RULES = 4
"""The rules of this version. Raise it, and say in `CHANGES` what changed, with any change that makes the
same inputs lead to another order, fill, cost, prompt or fingerprint."""

OLDEST_RULES = 1
"""The oldest rules that this version still has."""

CHANGES: Mapping[int, str] = {
    4: "price levels in masked headlines are masked, and calibration counts no close after a suspension",
    3: "a shorter prompt for larger models, masked where they may have read of the days, and new decoding",
    2: "an order that cash does not cover is filled in part, and fees have a minimum, taxes and tiers",
}
"""What changed with the rules of each number."""


class RulesError(JournalError):
    """A journal of rules that this version does not have. It is shown, and neither replayed nor continued;
    exit code 3.
    """


def require_rules(rules: int, what: str, remedy: str, *, oldest: int | None = None) -> None:
    """Raise RulesError where this version cannot replay what was traded by `rules`.

    Args:
        rules: The rules of the journal.
        what: The journal, such as "session live".
        remedy: What to do without its rules.
        oldest: The oldest rules that will do; None: those of this version.
    """
    if rules > RULES:
        raise RulesError(
            f"{what} was traded by rules {rules} of a newer closecall, and this one has rules {RULES}; "
            f"upgrade closecall, or {remedy}"
        )
    if rules < (OLDEST_RULES if oldest is None else oldest):
        changes = [
            f"{number}: {CHANGES[number]}" for number in range(rules + 1, RULES + 1) if number in CHANGES
        ]
        raise RulesError(
            f"{what} was traded by older rules ({rules}; this closecall has {RULES}: "
            f"{'; '.join(changes) or 'other figures'}) and cannot be replayed or resumed; {remedy}"
        )
