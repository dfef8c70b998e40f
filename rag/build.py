"""The composition root: settings -> the parts of the service, put together once. Nothing else builds them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from lm.device import cuda_available
from lm.heap import keep_heap_small
from rag.answer_support import ANSWERS_FILE, AnswerRater
from rag.answerable import ANSWERABLE_FILE, Answerability
from rag.check import TrainedVerifier
from rag.combine import COMBINER_FILE
from rag.encode import TOKENIZER_FILE, Encoder, TextTokenizer, load_encoder
from rag.generate import Generator, LocalGenerator
from rag.index import Index, IndexOptions, open_index
from rag.pipeline import Limits, Pipeline
from rag.policy import Policy
from rag.reader import Reader
from rag.remote_wire import SCHEME, Address
from rag.rerank import OpenVinoReranker, Reranker
from rag.retrieve import Retriever
from rag.settings import Settings
from rag.store import Store
from rag.types import InvalidInput
from rag.verify import BaselineVerifier, Verifier
from rag.weights import fingerprint, require
from rag.weights_trained import CHECK, READER, RERANKER, RETRIEVER, models_in_repository, trained_models

ENCODER = "minilm-l6"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Search:
    """What finding passages needs: enough to ingest and to search."""

    store: Store
    encoder: Encoder
    index: Index
    retriever: Retriever


def build_store(settings: Settings) -> Store:
    """The rows of ``settings.database``. Raises StoreUnavailable."""
    return Store.open(settings.database)


def build_search(settings: Settings, store: Store | None = None) -> Search:
    """Store, encoder, index and retriever. Raises ModelMissing, ModelBroken, StoreUnavailable.

    ``store``: the open database, where the caller has it already.
    """
    keep_heap_small()
    encoder = build_encoder(settings)
    rows = store or build_store(settings)
    options = IndexOptions(settings.index_family, settings.index_memory_mb << 20, resolve_device(settings))
    index = open_index(settings.index, rows, options)
    return Search(rows, encoder, index, Retriever(encoder, index, rows, build_reranker(settings)))


def build_encoder(settings: Settings) -> Encoder:
    """The encoder: ours where this repository ships one, else the base. Raises ModelMissing, ModelBroken."""
    shipped = any(model.role == "retriever" for model in trained_models())
    folder = require(settings.home, RETRIEVER if shipped else ENCODER)
    return load_encoder(folder, resolve_device(settings), settings.threads)


def build_reranker(settings: Settings) -> Reranker | None:
    """The reranker, None where this repository ships none. Raises ModelMissing, ModelBroken."""
    if not any(model.role == "reranker" for model in trained_models()):
        return None
    return OpenVinoReranker(require(settings.home, RERANKER), settings.threads)


def build_pipeline(settings: Settings, search: Search | None = None, side_by_side: int = 1) -> Pipeline:
    """The whole way from question to answer, over ``search`` (None: that of the settings).

    ``side_by_side``: answers that several threads may have written in one batch. Raises what build_search and
    build_generator raise.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:  # each takes half a second to load, most of it outside Python
        loading = pool.submit(build_generator, settings, side_by_side)
        search = search or build_search(settings)
        generator = loading.result()
    reader = build_reader(settings)
    return Pipeline(
        retriever=search.retriever,
        generator=generator,
        verifier=build_verifier(settings, search.encoder, reader),
        policy=Policy(min_right=settings.min_support),
        limits=Limits(settings.passage_tokens, settings.max_new_tokens, settings.max_question_chars),
        reader=reader,
        rater=build_rater(),
        answerability=build_answerability(),
    )


def build_generator(settings: Settings, side_by_side: int = 1) -> Generator:
    """The generator that the settings name. Raises ModelMissing, ModelBroken, InvalidInput.

    One elsewhere is asked with the first question; until then nothing is sent.
    """
    if settings.generator.startswith(SCHEME):
        return _remote_generator(settings)
    folder = require(settings.home, settings.generator)
    device = resolve_device(settings)
    return LocalGenerator.load(folder, fingerprint(folder), device, settings.threads, side_by_side)


def _remote_generator(settings: Settings) -> Generator:
    from rag.remote import RemoteGenerator, RemoteLimits  # here, not above: an HTTP client that others do not need

    tokenizer = TextTokenizer(require(settings.home, ENCODER) / TOKENIZER_FILE, 0)
    limits = RemoteLimits(total_s=settings.timeout_s)
    return RemoteGenerator(Address.parse(settings.generator), tokenizer.counts, limits)


def build_reader(settings: Settings) -> Reader | None:
    """The reader, where HOME has it. Raises ModelBroken."""
    folder = _pulled(settings, READER)
    return None if folder is None else Reader.load(folder, settings.threads)


def build_rater() -> AnswerRater | None:
    """How probable answers are right, where that was fitted. Raises ModelBroken."""
    path = models_in_repository() / CHECK / ANSWERS_FILE
    if path.is_file():
        return AnswerRater.load(path)
    log.warning(f"{path} is missing, so answers are not rated; fit it with benchmarks/fit_answers.py")
    return None


def build_answerability() -> Answerability | None:
    """Whether passages answer, once an answer was tried, where that was fitted. Raises ModelBroken."""
    path = models_in_repository() / CHECK / ANSWERABLE_FILE
    if path.is_file():
        return Answerability.load(path)
    log.warning(f"{path} is missing, so only the reranker tells; fit it with benchmarks/fit_answered.py")
    return None


def build_verifier(settings: Settings, encoder: Encoder, reader: Reader | None) -> Verifier:
    """The trained check where HOME has it and its combiner was fitted, the baseline otherwise. Raises ModelBroken."""
    folder, combiner = _pulled(settings, CHECK), models_in_repository() / CHECK / COMBINER_FILE
    if folder is None or not combiner.is_file():
        return build_baseline(encoder)
    return TrainedVerifier.load(folder, combiner, reader, settings.threads)


def build_baseline(encoder: Encoder) -> BaselineVerifier:
    """The check by lexical, embedding and number features alone."""
    return BaselineVerifier.load(models_in_repository() / "baseline-check", encoder)


def _pulled(settings: Settings, name: str) -> Path | None:
    """The folder of a trained model; None, with a warning where it is shipped, if HOME does not have it."""
    if (settings.models_folder / name).is_dir():
        return require(settings.home, name)
    if any(model.name == name for model in trained_models()):
        log.warning(f"{name} is shipped but not in {settings.models_folder}; run: answerable models pull")
    return None


def resolve_device(settings: Settings) -> str:
    """ "cpu" or "cuda": what DEVICE says; for "auto" the GPU where there is one. Raises InvalidInput without one."""
    if settings.device == "cpu":
        return "cpu"
    if cuda_available():
        return "cuda"
    if settings.device == "cuda":
        raise InvalidInput("ANSWERABLE_DEVICE=cuda, but there is no usable GPU; set it to auto or cpu")
    return "cpu"
