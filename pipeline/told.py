"""A line of progress with what a machine wants to know of it; to everybody else it is a text."""

from __future__ import annotations

LEVELS = ("info", "warning", "error")


class Told(str):
    """A text that also knows its level and facts such as ``key``, ``stage``, ``done`` and ``total``."""

    level: str
    facts: dict

    def __new__(cls, text: str, level: str = "info", **facts):
        told = super().__new__(cls, text)
        told.level, told.facts = level, facts
        return told

    def event(self) -> dict:
        """The same in plain kinds, to be sent from one process to another."""
        return {"text": str(self), "level": self.level, "facts": self.facts}

    @classmethod
    def of(cls, event: dict) -> Told:
        """What `event` made."""
        return cls(event["text"], event["level"], **event["facts"])

    def __reduce__(self):
        return Told.of, (self.event(),)
