"""Question files -> groups to learn ranking from: a question, its passage, and passages that look right and are not.

    python -m train.mining --train qa/train --dev qa/dev --pages retrieval/medquad --encoder MODELS/minilm-l6 \\
        --out mined

Hard negatives come from our own dense and BM25 search over all passages of all files. A passage that holds the answer
is never a negative. Where other passages of a file may well answer its questions ("alike" in train/sources.py, and
answers such as "yes"), only those that are clearly further from the question than the gold passage are taken.

Groups also hold what a reader must not take for an answer: the gold passage without its answering sentence ("lacking"),
and the question turned so that its passage does not answer it any more ("altered"). Run again, it does what is missing.

OUT/train.jsonl and OUT/dev.jsonl: a group a line, see Group; OUT/rows.db and OUT/vectors.npy may be removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.datafiles import read_retrieval
from rag.encode import Encoder, load_encoder
from rag.retrieve import content_words
from rag.store import Collection, Source, Store
from rag.types import Chunk, ParsedDocument
from train.groups import DEV_FILE, TRAIN_FILE, Group, passage_text
from train.loop import TrainingFailed
from train.sources import Ask, Seen, Unit, holds, plain, read_dev, read_source
from train.sources import Source as DataFile
from train.turned import turned
from train.twists import CUT, without_answers

_FILES = (  # most questions of each: the search for one takes longer than training on it
    DataFile("qed", 4500, tokenised=True),
    DataFile("squad", 6500),
    DataFile("squad_dev_a", 3200),
    DataFile("squadshifts_newwiki", 3000),
    DataFile("squadshifts_amazon", 900, alike=True),
    DataFile("qamr", 800, tokenised=True),
    DataFile("policyqa", 700, alike=True),
    DataFile("boolq"),
    DataFile("condaqa", 1200, alike=True),
    DataFile("strategyqa", 300),
    DataFile("fairytaleqa", 500, alike=True, free=True),
    DataFile("doc2dial", 600, alike=True),
    DataFile("pubmedqa"),
)
_PAGES = DataFile("pages", 6000, alike=True)  # questions with the page that answers them, of a retrieval set
_PAGE_CHARS = 900
_NOTHING = Seen(frozenset(), frozenset())
_DEV = (DataFile("nq_oracle", 500), DataFile("squad2"), DataFile("policyqa", 300, alike=True))
_DEPTH = {"dense": 40, "bm25": 30}
_NEGATIVES = 8
_FURTHER = 0.9  # of the gold passage's cosine: a passage of an "alike" file below it is taken for a wrong one
_PUT_AT_ONCE = 1000  # passages of one scratch document

log = logging.getLogger(__name__)


def mine(units: Sequence[Unit], files: Sequence[DataFile], encoder: Encoder, folder: Path, seed: int) -> list[Group]:
    """A group an ask of ``units``, in a random order that ``seed`` alone decides."""
    draw = random.Random(seed)
    shelf = _Shelf.fill(units, encoder, folder)
    alike = {file.name for file in files if file.alike}
    groups = []
    for number, unit in enumerate(units):
        cut = without_answers(unit, draw)
        for ask in unit.asks:
            group = Group(_question(ask), passage_text(unit.title, unit.text) if ask.answer else "", ())
            lacking = _lacking(unit, ask, cut)
            altered = turned(ask.text, unit, draw) if ask.answer and not ask.history else ""
            group = replace(group, lacking=lacking, altered=altered, source=unit.source)
            groups.append((group, number, ask))
    draw.shuffle(groups)
    vectors = encoder.encode([group.question for group, _, _ in groups])
    made = []
    for (group, number, ask), vector in zip(groups, vectors, strict=True):
        strict = units[number].source in alike or plain(ask.answer) in ("yes", "no")
        found = shelf.negatives(group.question, vector, (number, ask), strict, draw)
        made.append(replace(group, negatives=found))
        if len(made) % 2000 == 0:
            log.info("mined %d of %d", len(made), len(groups))
    return made


@dataclass(frozen=True, slots=True)
class _Shelf:
    """All passages in a store of their own, for BM25, and as vectors (N, D), for cosines; chunk n is unit n - 1."""

    units: Sequence[Unit]
    store: Store
    collection: Collection
    vectors: NDArray[np.float32]

    @classmethod
    def fill(cls, units: Sequence[Unit], encoder: Encoder, folder: Path) -> _Shelf:
        texts = [passage_text(unit.title, unit.text) for unit in units]
        vectors = _encoded(texts, encoder, folder / "vectors.npy")
        (folder / "rows.db").unlink(missing_ok=True)
        store = Store.open(f"sqlite:///{folder / 'rows.db'}")
        collection = store.collections.ensure("mining", encoder.fingerprint, encoder.dimension)
        for first in range(0, len(units), _PUT_AT_ONCE):
            some = units[first : first + _PUT_AT_ONCE]
            parts = [Chunk(number, number + 1, unit.text, unit.title) for number, unit in enumerate(some)]
            parsed = ParsedDocument("", "", "mining")
            store.documents.put(collection, Source(str(first), ""), parsed, parts, vectors[first : first + len(some)])
        return cls(units, store, collection, vectors)

    def negatives(
        self, question: str, vector: NDArray[np.float32], of: tuple[int, Ask], strict: bool, draw: random.Random
    ) -> tuple[str, ...]:
        """Up to _NEGATIVES passages that the two searches rank high, nearest first, wrong as far as can be told."""
        number, ask = of
        cosines = self.vectors @ vector  # (N,)
        dense = np.argpartition(-cosines, min(_DEPTH["dense"], len(cosines) - 1))[: _DEPTH["dense"]]
        bm25 = self.store.chunks.search(self.collection, content_words(question), _DEPTH["bm25"])
        found = sorted({*map(int, dense), *(chunk - 1 for chunk, _ in bm25)}, key=lambda n: -cosines[n])
        bound = _FURTHER * cosines[number] if strict else np.inf
        wrong = [n for n in found if n != number and cosines[n] < bound and not self._answers(n, number, ask, strict)]
        near = wrong[: _NEGATIVES // 2]
        rest = wrong[len(near) :]
        return tuple(self._text(n) for n in [*near, *draw.sample(rest, min(len(rest), _NEGATIVES - len(near)))])

    def _answers(self, candidate: int, own: int, ask: Ask, strict: bool) -> bool:
        other, unit = self.units[candidate], self.units[own]
        if other.text == unit.text or (strict and other.paragraph == unit.paragraph):
            return True
        return any(holds(other.text, gold) for gold in (ask.answer, *ask.golds) if gold and len(gold) < 80)

    def _text(self, number: int) -> str:
        return passage_text(self.units[number].title, self.units[number].text)


def _encoded(texts: Sequence[str], encoder: Encoder, kept: Path) -> NDArray[np.float32]:
    """Vectors (N, D), from the file of an earlier run where it has as many of this encoder."""
    if kept.is_file():
        found = np.load(kept, allow_pickle=False)
        if found.shape == (len(texts), encoder.dimension):
            return np.asarray(found, dtype=np.float32)
    parts = []
    for first in range(0, len(texts), 1000):
        parts.append(encoder.encode(texts[first : first + 1000]))
        log.info("encoded %d of %d passages", first + len(parts[-1]), len(texts))
    vectors = np.concatenate(parts)
    np.save(kept, vectors.astype(np.float16), allow_pickle=False)
    return vectors


def _question(ask: Ask) -> str:
    """What is searched for: as rag/followup.py would have it, with what the conversation was about."""
    earlier = [turn.text for turn in ask.history if turn.role == "user"]
    return f"{earlier[-1]} {ask.text}" if earlier else ask.text


def _lacking(unit: Unit, ask: Ask, cut: Unit | None) -> tuple[str, ...]:
    if not ask.answer:
        return (passage_text(unit.title, unit.text),)
    if cut and any(other.id == ask.id and other.missing == CUT for other in cut.asks):
        return (passage_text(cut.title, cut.text),)
    return ()


def _units(folder: Path, files: Sequence[DataFile], dev: Path | None) -> list[Unit]:
    seen = read_dev(dev) if dev else _NOTHING
    counts: Counter[str] = Counter()
    units: list[Unit] = []
    for file in files:
        if not any(path.name.split(".")[0] == file.name for path in folder.glob("*.jsonl*")):
            continue
        of_file = read_source(folder, file, seen, counts)
        units += list(_most(of_file, file.questions))
    log.info("%s: %d passages, %s", folder, len(units), dict(counts))
    return units


def _few(units: Sequence[Unit], limit: int) -> list[Unit]:
    """The first ``limit`` passages of each file, for a trial; 0: all of them."""
    counts: Counter[str] = Counter()
    kept = []
    for unit in units:
        counts[unit.source] += 1
        if not limit or counts[unit.source] <= limit:
            kept.append(unit)
    return kept


def _pages(folder: Path) -> list[Unit]:
    """The documents of a retrieval set, cut to their start, each with the queries that it is right for."""
    data = read_retrieval(folder)
    asks: dict[str, list[Ask]] = {}
    for key, query in data.queries.items():
        for document in (document for document, grade in data.qrels[key].items() if grade > 0):
            asks.setdefault(document, []).append(Ask(key, query, "*", ()))
    units = []
    for key, page in data.corpus.items():
        text = page.text[:_PAGE_CHARS].rsplit(" ", 1)[0]
        if text.strip():
            units.append(Unit(_PAGES.name, key, page.title, text, tuple(asks.get(key, ()))))
    return list(_most(units, _PAGES.questions))


def _most(units: Sequence[Unit], questions: int) -> Iterator[Unit]:
    """All units, asks beyond ``questions`` (0: none is) left out: their passages still serve as negatives."""
    left = questions or sum(len(unit.asks) for unit in units)
    for unit in random.Random(0).sample(list(units), len(units)):
        asks = unit.asks[: max(0, left)]
        left -= len(asks)
        yield replace(unit, asks=asks)


def main() -> None:
    """Mine the training file, then the dev file, where they are not there yet."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="folder of question files to train on")
    parser.add_argument("--dev", type=Path, required=True, help="folder of question files to measure on")
    parser.add_argument("--pages", type=Path, help="folder of a retrieval set to train on as well")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the encoder to search with")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--limit", type=int, default=0, help="most questions, and passages, of each file (0: all)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the encoder (0: all)")
    given = parser.parse_args()
    encoder = load_encoder(given.encoder, "cpu", given.threads)
    jobs: tuple[tuple[str, Path, tuple[DataFile, ...], Path | None], ...] = (
        (TRAIN_FILE, given.train, _FILES, given.dev),
        (DEV_FILE, given.dev, _DEV, None),
    )
    for name, folder, files, dev in jobs:
        if (given.out / name).is_file():
            continue
        if given.limit:
            files = tuple(replace(file, questions=min(file.questions or given.limit, given.limit)) for file in files)
        scratch = given.out / name.removesuffix(".jsonl")
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            units = _units(folder, files, dev) + (_pages(given.pages) if dev and given.pages else [])
            groups = mine(_few(units, given.limit), (*files, _PAGES), encoder, scratch, seed=0)
            part = given.out / f"{name}.part"
            part.write_text("".join(json.dumps(asdict(group)) + "\n" for group in groups), "utf-8")
            part.replace(given.out / name)
        except OSError as error:
            raise TrainingFailed(f"{given.out}: cannot be written ({error}); make room and run it again") from error
        log.info("%s: %d groups", given.out / name, len(groups))


if __name__ == "__main__":
    main()
