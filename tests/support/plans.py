"""Steps of a plan."""

from __future__ import annotations


def planned_step(plan, stage: str, lang: str = "en"):
    """Return the only step of a stage in a recipe's plan for a language."""
    (step,) = [step for step in plan.by_language[lang].steps if step.stage == stage]
    return step
