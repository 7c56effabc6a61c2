"""Made-up ablations for the tests of the site, with every kind of variant."""

from __future__ import annotations

import random
from pathlib import Path

from mdrbench.results import ablations as ablation_results
from mdrbench.results.ablations import Ablation, Absent, Complete, Effect, Name, Score, SeedRun, Variant

PARTS = {
    "hard-neg": "without hard negatives",
    "judge": "without the judge",
    "generation": "without generated queries",
    "same-language": "without batches of one language",
    "weights": "without weights",
}
LOSSES = (-0.031, -0.012, -0.0004, 0.004, -0.002)
STAGES = {"stage-1": -0.037, "stage-2": -0.021, "stage-3": -0.018}


def made_up(
    recipe: str = "mine", dataset: str = "tiny", langs: tuple[str, ...] = ("ar", "fi", "sw"), seeds: int = 1
) -> Ablation:
    """Parts, stages one by one and together, two sweeps, and a part that the recipe lacks."""
    dice = random.Random(f"{recipe}{langs}{seeds}")
    made = _Maker(dice, recipe, langs, seeds)
    variants = [made.variant([Name(label=label, kind="part", parts=[part])], loss)
                for (part, label), loss in zip(PARTS.items(), LOSSES, strict=True)]  # fmt: skip
    for at, (stage, loss) in enumerate(STAGES.items()):
        names = [Name(label=f"without stage {at + 1}", kind="stage", parts=[stage])]
        if stage == "stage-3":
            names.append(Name(label="stages 1, 2", kind="cumulative", parts=[stage]))
        variants.append(made.variant(names, loss))
    for on, off, loss in (("no stage", list(STAGES), -0.081), ("stage 1", ["stage-2", "stage-3"], -0.034)):
        variants.append(made.variant([Name(label=on, kind="cumulative", parts=off)], loss))
    for size, loss in (("10", -0.014), ("20", -0.003), ("40", 0.002)):
        name = Name(label=f"negatives.size={size}", kind="sweep", key="negatives.size", value=size)
        variants.append(made.variant([name], loss))
    name = Name(label="training.decay=cosine", kind="sweep", key="training.decay", value="cosine")
    variants.append(made.variant([name], 0.001))
    own = [
        Name(label="stages 1, 2, 3 (complete)", kind="cumulative"),
        Name(label="negatives.size=30", kind="sweep", key="negatives.size", value="30"),
    ]
    return Ablation(
        dataset=dataset,
        split="dev",
        recipe=recipe,
        summary="a recipe with three stages",
        languages=list(langs),
        measures=["nDCG@10", "Recall@100"],
        seeds=seeds,
        complete=made.complete(own),
        variants=variants,
        absent=[
            Absent(part="mift", label="without instruction tuning of the generator", why="its generator is replay")
        ],
        command=f"mdrbench ablate {recipe} --data {dataset} --all",
    )


class _Maker:
    def __init__(self, dice: random.Random, recipe: str, langs: tuple[str, ...], seeds: int):
        self.dice, self.recipe, self.langs, self.seeds = dice, recipe, langs, seeds
        self.made = 0

    def complete(self, names: list[Name]) -> Complete:
        score = Score(value=0.706, low=0.69, high=0.72, spread=0.0021 if self.seeds > 1 else None)
        languages = {lang: dict.fromkeys(("nDCG@10", "Recall@100"), score) for lang in self.langs}
        average = dict.fromkeys(("nDCG@10", "Recall@100"), score)
        return Complete(names=names, runs=self._runs(f"{self.recipe}.json"), languages=languages, average=average)

    def variant(self, names: list[Name], loss: float) -> Variant:
        self.made += 1
        part = names[0].parts[0] if names[0].parts else names[0].label
        languages = {
            lang: {m: self._effect(loss, tested=True) for m in ("nDCG@10", "Recall@100")} for lang in self.langs
        }
        average = {"nDCG@10": self._effect(loss, spread=0.0), "Recall@100": self._effect(loss / 3, spread=0.0)}
        runs = self._runs(f"variants/{self.recipe}-{self.made:010d}.json")
        return Variant(names=names, overrides=[f"{part}=none"], runs=runs, languages=languages, average=average)

    def _effect(self, loss: float, tested: bool = False, spread: float = 0.012) -> Effect:
        difference = loss + self.dice.gauss(0, spread)
        half = self.dice.uniform(0.004, 0.009)
        p = min(1.0, abs(0.002 / difference) ** 2) if tested else 0.0 if abs(difference) > half else 1.0
        p_corrected = min(1.0, 3 * p)
        seeds = 0.0019 if self.seeds > 1 and not tested else None
        return Effect(
            score=0.706 + difference, difference=difference, low=difference - half, high=difference + half,
            p=p, p_corrected=p_corrected, starred=p_corrected < 0.05, spread=seeds,
        )  # fmt: skip

    def _runs(self, result: str) -> list[SeedRun]:
        path = Path(result)
        return [
            SeedRun(seed=42 + at, overrides=[f"seed={42 + at}"] if at else [], digest=f"{self.made:02x}{at}" * 16,
                    result=result if at == 0 else str(path.with_name(f"{path.stem}-{at}.json")))
            for at in range(self.seeds)
        ]  # fmt: skip


def save(root: Path, one: Ablation) -> Path:
    """Write an ablation to the place where `mdrbench ablate` stores it."""
    path = root / one.dataset / ablation_results.FOLDER / f"{one.recipe}.json"
    ablation_results.write(path, one)
    return path
