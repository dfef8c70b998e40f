"""What the generator itself answers to training questions, as claims with labels: the errors the verifier must catch.

    python -m train.on_policy --data data --out data/claims/train/on_policy.jsonl --minutes 60

Each question is asked of its own passage, or of a near one that does not hold the answer, with the generator in HOME
that the settings name, and never refused. An answer is supported where it says what a gold answer says (token F1 of at
least .8, or a gold answer inside it), and not where it shares no word with any; what lies between is left out. Lines
are written as they come; a run that is started again goes on after the last one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rag.answers import token_f1
from rag.build import build_generator
from rag.datafiles import ClaimRow, Label
from rag.generate import Generator
from rag.prompt import build_prompt, parse_answer
from rag.settings import load_settings
from rag.types import Passage, Question
from train.recipes import Neighbours
from train.sources import Ask, Source, Unit, holds, read_dev, read_source

SOURCES = (
    Source("qed", tokenised=True),
    Source("squad"),
    Source("squad_dev_a"),
    Source("squadshifts_newwiki"),
    Source("boolq"),
)
_OTHER_PASSAGE = 0.3
_NEW_TOKENS = 48
_NEVER_REFUSE = 2.0
_RIGHT = 0.8


def label_of(answer: str, golds: tuple[str, ...], told: bool) -> Label | None:
    """What an answer is worth; None where nobody can tell. ``told``: whether the passage holds the answer."""
    if not told:
        return Label.NEI
    score = token_f1(answer, golds)
    if score >= _RIGHT or any(holds(answer, gold) for gold in golds if gold.lower() not in ("yes", "no")):
        return Label.SUPPORTED
    return Label.NOT_SUPPORTED if score == 0 else None


def asked(data: Path, seed: int) -> Iterator[tuple[Ask, Unit, Unit]]:
    """Questions in random order, each with its passage and the one to show."""
    seen = read_dev(data / "qa" / "dev")
    found: list[tuple[Ask, Unit, Unit]] = []
    for source in SOURCES:
        draw = random.Random(f"{seed} on policy {source.name}")
        units = read_source(data / "qa" / "train", source, seen, Counter())
        near = Neighbours(units)
        for number, unit in enumerate(units):
            for ask in unit.asks:
                shown = unit
                if ask.answer and ask.answer not in ("Yes", "No") and draw.random() < _OTHER_PASSAGE:
                    golds = (ask.answer, *ask.golds)
                    away = [units[place] for place in near.of(number)]
                    shown = next((one for one in away if not any(holds(one.text, gold) for gold in golds)), unit)
                if ask.answer:
                    found.append((ask, unit, shown))
    random.Random(f"{seed} order").shuffle(found)
    yield from found


def answer(generator: Generator, ask: Ask, shown: Unit, passage_tokens: int) -> str:
    """What the generator says, "" where it refuses all the same."""
    passage = Passage(0, "", shown.title, "", 0, len(shown.text), shown.text, shown.title)
    prompt = build_prompt(Question(ask.text, history=ask.history), [passage], passage_tokens, generator.count_tokens)
    text = "".join(piece.text for piece in generator.stream(prompt, _NEW_TOKENS, _NEVER_REFUSE))
    parsed = parse_answer(text, 1)
    return "" if parsed.refused else parsed.text


def main() -> None:
    """Asks until the time is over, and writes a line for each answer that has a label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with qa/train and qa/dev")
    parser.add_argument("--out", type=Path, required=True, help="claims file to write")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = load_settings()
    generator = build_generator(settings)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.is_file() else []
    done = {json.loads(line)["id"] for line in lines}
    over = time.monotonic() + 60 * options.minutes
    counts: Counter[str] = Counter(json.loads(line)["label"] for line in lines)
    with options.out.open("a", encoding="utf-8") as file:
        for ask, unit, shown in asked(options.data, options.seed):
            if time.monotonic() > over:
                break
            if (number := f"on-policy-{ask.id}") in done:
                continue
            text = answer(generator, ask, shown, settings.passage_tokens)
            label = label_of(text, (ask.answer, *ask.golds), shown is unit) if text else None
            if label is not None:
                counts[label.value] += 1
                row = ClaimRow(number, "on-policy", shown.text, text, label, ask.text)
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                file.flush()
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
