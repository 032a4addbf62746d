"""The rules that a journal was traded by, and which of them this version can replay."""

from collections.abc import Mapping

from engine.errors import JournalError

RULES = 1
"""The rules of this version. Raise it, and say in `CHANGES` what changed, with any change that makes the
same inputs lead to another order, fill, cost, prompt or fingerprint."""

OLDEST_RULES = 1
"""The oldest rules that this version still has."""

CHANGES: Mapping[int, str] = {}
"""What changed with the rules of each number, such as {2: "fees are rounded to cents"}."""


class RulesError(JournalError):
    """A journal of rules that this version does not have. It is shown, and neither replayed nor continued;
    exit code 3.
    """


def require_rules(rules: int, what: str, remedy: str) -> None:
    """Raise RulesError where this version cannot replay what was traded by `rules`.

    `what` names the journal, such as "session live", and `remedy` what to do without its rules.
    """
    if rules > RULES:
        raise RulesError(
            f"{what} was traded by rules {rules} of a newer closecall, and this one has rules {RULES}; "
            f"upgrade closecall, or {remedy}"
        )
    if rules < OLDEST_RULES:
        changes = [
            f"{number}: {CHANGES[number]}" for number in range(rules + 1, RULES + 1) if number in CHANGES
        ]
        raise RulesError(
            f"{what} was traded by older rules ({rules}; this closecall has {RULES}: "
            f"{'; '.join(changes) or 'other figures'}) and cannot be replayed or resumed; {remedy}"
        )
