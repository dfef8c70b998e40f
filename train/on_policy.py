"""What the generator itself answers to training questions, as claims with labels: the errors the verifier must catch.

    python -m train.on_policy --base MODELS/smollm2-135m --adapter models/answerable-135m --data data \\
        --out data/claims/train/on_policy.jsonl --most 4000

Each question is asked of its own passage, or of a near one that does not hold the answer, and never refused. An answer
is supported where it says what a gold answer says (token F1 of at least .8, or a gold answer inside it), and not where
it shares no word with any; what lies between is left out. Lines are written as they come; a run that is started again
goes on after the last one. A generator that has seen a question often knows its answer: one of an earlier, shorter
training makes the errors that are wanted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from lm.checkpoint import load
from lm.lora import fingerprint, load_adapter
from lm.model import Decoder
from lm.tokenizer import Tokenizer
from rag.answers import token_f1
from rag.datafiles import ClaimRow, Label
from rag.prompt import NO_ANSWER, build_prompt, parse_answer
from rag.types import Passage, Question
from train.batches import PASSAGE_TOKENS, counter
from train.loop import DEVICES
from train.measure import answer_all
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
_AT_ONCE = 1024  # questions, sorted by length and answered side by side, between two writings
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


def prompt_of(ask: Ask, shown: Unit, tokenizer: Tokenizer) -> list[int]:
    """The ids of the prompt over one passage."""
    passage = Passage(0, "", shown.title, "", 0, len(shown.text), shown.text, shown.title)
    prompt = build_prompt(Question(ask.text, history=ask.history), [passage], PASSAGE_TOKENS, counter(tokenizer))
    return tokenizer.chat(prompt.messages)


def answers(model: Decoder, tokenizer: Tokenizer, asked: Sequence[tuple[Ask, Unit, Unit]]) -> list[str]:
    """What the generator says to each question, "" where it refuses all the same."""
    prompts = [prompt_of(ask, shown, tokenizer) for ask, _, shown in asked]
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    refusal = tokenizer.encode(NO_ANSWER)[0]
    written = answer_all(model, [prompts[place] for place in order], tokenizer, refusal)
    found = [""] * len(prompts)
    for place, text in zip(order, written, strict=True):
        parsed = parse_answer(text, 1)
        found[place] = "" if parsed.refused else parsed.text
    return found


def rows_of(asked: Sequence[tuple[Ask, Unit, Unit]], said: Sequence[str]) -> Iterator[ClaimRow]:
    """A claim for each answer that has a label."""
    for (ask, unit, shown), text in zip(asked, said, strict=True):
        label = label_of(text, (ask.answer, *ask.golds), shown is unit) if text else None
        if label is not None:
            yield ClaimRow(name_of(ask), "on-policy", shown.text, text, label, ask.text)


def name_of(ask: Ask) -> str:
    """The id of the claim that the answer to a question makes."""
    return f"on-policy-{ask.id}"


def main() -> None:
    """Asks, and writes a line for each answer that has a label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base checkpoint")
    parser.add_argument("--adapter", type=Path, required=True, help="folder of the generator's adapter")
    parser.add_argument("--data", type=Path, required=True, help="folder with qa/train and qa/dev")
    parser.add_argument("--out", type=Path, required=True, help="claims file to write")
    parser.add_argument("--most", type=int, default=4000, help="questions to ask")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    options = parser.parse_args()
    model, tokenizer = load(options.base), Tokenizer.load(options.base)
    load_adapter(model, options.adapter, fingerprint(model))
    model = model.bfloat16().to(options.device)
    model.tie()
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.is_file() else []
    done = {json.loads(line)["id"] for line in lines}
    left = [one for one in islice(asked(options.data, options.seed), options.most) if name_of(one[0]) not in done]
    counts: Counter[str] = Counter(json.loads(line)["label"] for line in lines)
    with options.out.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            for row in rows_of(some, answers(model, tokenizer, some)):
                counts[row.label.value] += 1
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            file.flush()
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
