"""What a version must meet before an alias is moved to it."""

from pydantic import Field, model_validator

from lorp.spec import GateSpec, Spec


class Canary(Spec):
    """A prompt, and what must be in its greedy continuation; letter case does not matter.

    Attributes:
        prompt: What the model is given.
        contains: Texts of which at least one must be there.
        excludes: Texts of which none may be there.
    """

    prompt: str = Field(min_length=1)
    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _asks_something(self) -> "Canary":
        if not self.contains and not self.excludes:
            raise ValueError("a canary must say what its continuation contains or excludes")
        return self

    def passes(self, text: str) -> bool:
        """Whether a continuation is as it must be; an empty one never is."""
        said = text.casefold()
        there = not self.contains or any(part.casefold() in said for part in self.contains)
        return bool(said.strip()) and there and not any(part.casefold() in said for part in self.excludes)


class PromotionPolicy(Spec):
    """The conditions of a promotion; those that are None are not looked at.

    That the verdict approved the version, and that every byte behind it is what its digest says, is always asked.

    Attributes:
        gate: Budgets that the verdict's own must be at least as strict as.
        max_ratio_to_production: Largest upper bound of the version's perplexity / that of the version that the alias
            stands for now, on the windows of the version's verdict; 1.02 allows 2 % more.
        confidence: Of that bound, one-sided.
        max_age_days: Largest age of the verdict's evaluations.
        canaries: Prompts to continue.
        max_new_tokens: How far.
        max_failed_canaries: How many of them may fail.
        approval: Whether a person must agree.
        approval_hours: How long is waited for them.
    """

    gate: GateSpec | None = None
    max_ratio_to_production: float | None = Field(1.02, gt=0, allow_inf_nan=False)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    max_age_days: float | None = Field(30, gt=0, allow_inf_nan=False)
    canaries: tuple[Canary, ...] = ()
    max_new_tokens: int = Field(32, ge=1)
    max_failed_canaries: int = Field(0, ge=0)
    approval: bool = False
    approval_hours: float = Field(24, gt=0, allow_inf_nan=False)
