"""The recipe that rgz takes for small corpora against RustGPT-Chinese's own, on RustGPT-Chinese's corpus.

python -m benches.recipe --data FOLDER [--json RESULT.json] [--zh] [--seeds 0,1,2] [--limit N]

FOLDER holds rustgpt-chinese/; a tenth of its 2,477 texts is held out by seed, which is that of order, first weights and
dropout too. Both train the same shape over the same texts: RustGPT-Chinese's recipe for 10 epochs, after 3 or 4 of
which its loss on held-out text begins to rise, rgz's for 5, so half of the tokens; and as `rgz train` chooses it, with
the preset's dropout, for 7. What is compared is the perplexity a
character of the text held out, which does not depend on the vocabulary: of the best evaluation (one an epoch), and of
the last weights. RustGPT-Chinese's own rule (stop once the training loss has not fallen by 0.01 for 30 epochs) leaves
the last weights.
"""

from __future__ import annotations

from typing import Any

from benches.guide import Results, common_arguments, data_of, seeds_of
from benches.guide_items import EPOCHS, LOSS, RECIPE
from benches.setting import RUSTGPT, merged, per_character

RUSTGPT_EPOCHS, CHOSEN_EPOCHS = 10, 7  # CHOSEN_EPOCHS: what choose_size() makes of this corpus
ENGLISH = {
    "rustgpt": "RustGPT-Chinese's recipe",
    "same words": "rgz's recipe, RustGPT-Chinese's vocabulary",
    "rgz": "rgz's recipe, dropout 0.3",
    "chosen": "what `rgz train` chooses",
    "header": ("recipe", "best weights", "last weights", "best against best", "last against last"),
    "best": "{value:.2f} after {epochs:.1f} epochs",
    "heading": "Perplexity a character, mean over seeds {seeds}. RustGPT-Chinese's recipe: {epochs} epochs of {tokens} "
    "target tokens, {parameters:.1f} M parameters; rgz's: {rgz_epochs} of {rgz}, {rgz_parameters:.1f} M.",
}
CHINESE = {
    "rustgpt": "RustGPT-Chinese 的方案",
    "same words": "rgz 的方案，RustGPT-Chinese 的词表",
    "rgz": "rgz 的方案，dropout 0.3",
    "chosen": "`rgz train` 自动选用的",
    "header": ("方案", "最佳权重", "最后的权重", "最佳对最佳", "最后对最后"),
    "best": "{value:.2f}（第 {epochs:.1f} 轮后）",
    "heading": "每字困惑度，种子 {seeds} 的平均。RustGPT-Chinese 的方案：{epochs} 轮，每轮 {tokens} 个目标词元，"
    "参数 {parameters:.1f} M；rgz 的方案：{rgz_epochs} 轮，每轮 {rgz} 个，参数 {rgz_parameters:.1f} M。",
}


def recipes() -> dict[str, dict[str, Any]]:
    ours = {**RECIPE, "epochs": EPOCHS}
    words = {"vocabulary": RUSTGPT["vocabulary"]}
    return {
        "rustgpt": {**RUSTGPT, "epochs": RUSTGPT_EPOCHS},
        "same words": merged(ours, words),
        "rgz": ours,
        "chosen": {**ours, "model": {}, "epochs": CHOSEN_EPOCHS},
    }


def rows(runs: dict[str, list[dict[str, Any]]], words: dict[str, Any]) -> list[list[str]]:
    """runs : for each recipe the outcomes, one a seed."""
    best, last = {}, {}
    table = []
    for name, outcomes in runs.items():
        best[name] = _mean([per_character(min(run["losses"]), run) for run in outcomes])
        last[name] = _mean([per_character(run["losses"][-1], run) for run in outcomes])
        epochs = _mean([run["losses"].index(min(run["losses"])) + 1 for run in outcomes])
        against = [f"{100 * (value[name] / value['rustgpt'] - 1):+.1f} %" for value in (best, last)]
        table.append(
            [
                words[name],
                words["best"].format(value=best[name], epochs=epochs),
                f"{last[name]:.2f}",
                *(against if name != "rustgpt" else ("-", "-")),
            ]
        )
    return table


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = common_arguments("python -m benches.recipe", __doc__.splitlines()[0])
    parser.set_defaults(seeds="0,1,2")
    parser.add_argument("--limit", type=int, metavar="N", help="make N runs of those missing in --json; 0 for a table")
    arguments = parser.parse_args()
    seeds, words = seeds_of(arguments, parser), CHINESE if arguments.zh else ENGLISH
    results = Results(data_of(arguments, parser), arguments.json, arguments.limit)
    runs: dict[str, list[dict[str, Any]]] = {}
    for name, setting in recipes().items():
        for seed in seeds:
            complete = {**setting, "seed": seed}
            results.run(LOSS, complete)
            if (outcome := results.of(LOSS, complete)) is not None:
                runs.setdefault(name, []).append(outcome)
    if any(len(runs.get(name, [])) < len(seeds) for name in recipes()):
        parser.exit(1, "not all runs are there yet: no table\n")
    first, ours = runs["rustgpt"][0], runs["rgz"][0]
    heading = words["heading"].format(
        seeds=arguments.seeds, epochs=RUSTGPT_EPOCHS, tokens=f"{first['tokens']:,}", rgz_epochs=EPOCHS,
        rgz=f"{ours['tokens']:,}", parameters=first["parameters"] / 1e6, rgz_parameters=ours["parameters"] / 1e6,
    )  # fmt: skip
    print("\n".join([heading, "", *markdown(words["header"], rows(runs, words))]))


def markdown(header: tuple[str, ...], table: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in (header, *table)]
    lines.insert(1, "|---|---:|---:|---:|---:|")
    return lines


if __name__ == "__main__":
    main()
