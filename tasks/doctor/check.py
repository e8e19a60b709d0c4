"""Checks -> findings: each check within seconds of its own, and none in the way of another."""

from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Literal, TypeAlias

from lorp.errors import LorpError, without_passwords

#: `fault`: something cannot work; `warning`: it works, and a person should know; `skipped`: it rests on a fault.
State = Literal["ok", "warning", "fault", "skipped"]

_LONGEST_MESSAGE = 300


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        state: How it is.
        what: What is so, without a full stop.
        remedy: What to do; empty where there is nothing to be done.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


#: Looks at something; may raise, and may hang.
Look: TypeAlias = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something to look at.

    Attributes:
        name: Of its findings, mostly.
        look: How.
        needs: Names of checks on which it rests: with a fault there it is skipped.
        seconds: Until it counts as not answering.
    """

    name: str
    look: Look
    needs: tuple[str, ...] = ()
    seconds: float = 30


def ok(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name=name, state="ok", what=what)


def warning(name: str, what: str, remedy: str) -> Finding:
    """It works, and a person should know."""
    return Finding(name=name, state="warning", what=what, remedy=remedy)


def fault(name: str, what: str, remedy: str) -> Finding:
    """Something cannot work."""
    return Finding(name=name, state="fault", what=what, remedy=remedy)


def refused(name: str, error: LorpError) -> Finding:
    """An error, as a fault."""
    return fault(name, error.reason, error.remedy)


def examine(checks: Iterable[Check]) -> list[Finding]:
    """Makes every check, in order; what each has found."""
    found: list[Finding] = []
    unsound: set[str] = set()
    for check in checks:
        missing = [need for need in check.needs if need in unsound]
        findings = [_skipped(check, missing[0])] if missing else _within(check)
        if any(finding.state in ("fault", "skipped") for finding in findings):
            unsound.add(check.name)
        found += findings
    return found


def _skipped(check: Check, need: str) -> Finding:
    return Finding(name=check.name, state="skipped", what=f"not looked at: {need} comes first")


def _within(check: Check) -> list[Finding]:
    """In a thread that is left behind if it hangs; with this one's context, where Prefect keeps settings."""
    done: Queue[list[Finding]] = Queue()
    context = copy_context()
    Thread(target=lambda: done.put(context.run(_look, check)), daemon=True).start()
    try:
        return done.get(timeout=check.seconds)
    except Empty:
        what = f"no answer within {check.seconds:g} s"
        return [fault(check.name, what, "Look at the network, and at the machine on the other side")]


def _look(check: Check) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check.look():
            found.append(finding)  # what was found before an error counts
    except LorpError as error:
        found.append(refused(check.name, error))
    except Exception as error:  # whatever a broken installation comes up with
        said = without_passwords(" ".join(str(error).split()))[:_LONGEST_MESSAGE]
        found.append(fault(check.name, f"{type(error).__name__}: {said}", "Look at what it names"))
    return found
