"""`ingest --ray`: files are read, cut and embedded by actors on all nodes of a Ray cluster; this process commits.

One actor a GPU, or one every few cores, is bound to each node. A batch whose actor, node or result is lost is given to
another actor; since documents are written here, whole and only over the row that was known, nothing is lost or doubled.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
import structlog
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ingest.discover import Found
from ingest.known import Known
from ingest.node import NodeReader, NodeResult, NodeTask
from ingest.reading import Ended, Kept
from ingest.sandbox import Recipe
from rag.settings import Settings
from rag.store import Outcome
from rag.types import AnswerableError, ClusterUnavailable

log = structlog.get_logger()

LOCAL = "local"

_CORES_EACH = 4  # of an actor without a GPU: more would wait for its one interpreter
_IN_FLIGHT = 2  # batches an actor has at a time, so that it reads one while it embeds the other
_BATCH_FILES, _BATCH_BYTES = 32, 8_000_000
_BATCHES_A_NODE = 8  # at least, where there are files enough: the last batches shall not keep one node alone at work
_LOSSES = 3  # after so many a batch is taken apart, and a single file is reported as failed
_LOOK_S = 5.0  # how often nodes that came are looked for
_KNOCK_S = 10.0
_START_S = 180.0  # until the first actor is up


@dataclass(slots=True)
class _Batch:
    files: tuple[Found, ...]
    lost: int = 0


@dataclass(slots=True)
class _Member:
    """An actor, the node it is bound to, whether it is up, and what it works on."""

    actor: Any
    node: str
    up: bool = False
    work: dict[Any, _Batch] = field(default_factory=dict)


class RayNodes:
    """The nodes of the cluster at ``address`` ("local": this machine alone, started for the run) as readers.

    ``fingerprint`` is that of the encoder here; every node must have the same. Raises ClusterUnavailable.
    """

    def __init__(self, address: str, settings: Settings, fingerprint: str, gpus: bool):
        self._settings = settings
        self._fingerprint = fingerprint
        self._gpus = gpus
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # for a cluster started here: nothing is reported to anybody
        options: dict[str, Any] = {"address": address} | ({"include_dashboard": False} if address == LOCAL else {})
        try:
            if ":" in address:
                _knock(address)
            if not ray.is_initialized():  # by an earlier ingest of this process, which Ray leaves when it ends
                ray.init(log_to_driver=False, logging_level="ERROR", namespace="answerable", **options)
        except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ClusterUnavailable(
                f"no Ray cluster at {address} ({first}); start one with: ray start --head --disable-usage-stats"
            ) from error

    def read(self, files: Sequence[Found], recipe: Recipe, known: Known, most_bytes: int) -> Iterator[NodeResult]:
        """What becomes of ``files``, in batches as they are done. Raises ClusterUnavailable and a node's own errors."""
        # No more of the settings than a node needs: others hold passwords.
        task = NodeTask(self._settings.model_dump(include={"home", "device"}), recipe, known, most_bytes)
        run = _Run(ray.put(task), self._fingerprint, self._gpus, _batches(files, len(ray.nodes())))
        try:
            for result in run.results():
                self._check_seen(result)
                yield result
        finally:
            run.end()

    def _check_seen(self, result: NodeResult) -> None:
        for uri in result.unseen:
            if os.path.lexists(uri):
                raise ClusterUnavailable(f"a node does not see {uri}; mount its folder at the same place on every node")


class _Run:
    """One run over some files: batches that wait, and the actors that work."""

    def __init__(self, task: Any, fingerprint: str, gpus: bool, batches: Sequence[_Batch]):
        self._task = task
        self._fingerprint = fingerprint
        self._gpus = gpus
        self._waiting = deque(batches)
        self._most = len(batches)
        self._members: list[_Member] = []
        self._starting: dict[Any, _Member] = {}
        self._looked = float("-inf")
        self._alive = time.monotonic()

    def results(self) -> Iterator[NodeResult]:
        """Results as they come, until every batch has given one."""
        while self._waiting or any(member.work for member in self._members):
            self._grow()
            self._hand_out()
            refs = [*self._starting, *(ref for member in self._members for ref in member.work)]
            done, _ = ray.wait(refs, num_returns=1, timeout=1.0) if refs else ([], [])
            if not refs:
                time.sleep(0.2)
            for ref in done:
                if ref in self._starting:
                    self._started(ref)
                else:
                    yield from self._take(ref)

    def end(self) -> None:
        """End all actors, whatever they do."""
        for member in [*self._members, *self._starting.values()]:
            with suppress(RayError):
                ray.kill(member.actor)

    def _grow(self) -> None:
        """Starts an actor for every share of a node that has none yet. Raises ClusterUnavailable when none comes up."""
        now = time.monotonic()
        if any(member.up for member in self._members):
            self._alive = now
        if now - self._alive > _START_S:
            raise ClusterUnavailable(f"no actor came up within {_START_S:g} s; are all cores of the cluster taken?")
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for node in ray.nodes():
            if node["Alive"]:
                self._fill(node["NodeID"], node["Resources"])

    def _fill(self, node: str, resources: dict[str, float]) -> None:
        cores, cards = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        share = max(1, cores // cards) if self._gpus and cards else min(_CORES_EACH, cores)
        wanted = cards if self._gpus else cores // share if share else 0
        there = sum(member.node == node for member in [*self._members, *self._starting.values()])
        everywhere = len(self._members) + len(self._starting)
        for _ in range(min(wanted - there, self._most - everywhere)):
            self._start(node, share, 1 if self._gpus else 0)

    def _start(self, node: str, cores: int, cards: int) -> None:
        remote = ray.remote(
            num_cpus=cores,
            num_gpus=cards,
            max_concurrency=_IN_FLIGHT,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )(NodeReader)
        member = _Member(remote.remote(self._task, cores), node)
        self._starting[member.actor.hello.remote()] = member

    def _started(self, ref: Any) -> None:
        member = self._starting.pop(ref)
        try:
            found = _get(ref)
        except _Lost as error:
            log.warning("an actor did not start", node=member.node, error=str(error))
            return
        if found != self._fingerprint:
            raise ClusterUnavailable(
                f"node {member.node[:12]} has another encoder ({found}) than this machine ({self._fingerprint}); "
                "install the same version, run `answerable models pull` and use the same ANSWERABLE_DEVICE everywhere"
            )
        member.up = True
        self._members.append(member)

    def _hand_out(self) -> None:
        free = sorted((member for member in self._members if len(member.work) < _IN_FLIGHT), key=lambda m: len(m.work))
        for member in free:
            if self._waiting:
                batch = self._waiting.popleft()
                member.work[member.actor.read.remote(batch.files)] = batch

    def _take(self, ref: Any) -> Iterator[NodeResult]:
        member = next(member for member in self._members if ref in member.work)
        try:
            result: NodeResult = _get(ref)
        except _Lost as error:
            log.warning("a worker was lost, its files go to others", node=member.node, error=str(error))
            yield from self._lose(member)
            return
        del member.work[ref]
        yield result

    def _lose(self, member: _Member) -> Iterator[NodeResult]:
        """Takes back what a lost actor had. A file that was lost again and again is reported as failed."""
        self._members.remove(member)
        self._looked = float("-inf")
        with suppress(RayError):
            ray.kill(member.actor)
        for batch in member.work.values():
            batch.lost += 1
            if batch.lost < _LOSSES:
                self._waiting.appendleft(batch)
            elif len(batch.files) > 1:
                self._waiting.extend(_Batch((found,), _LOSSES - 1) for found in batch.files)
            else:
                yield _failed(batch.files[0])


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


class _Lost(Exception):
    """An actor, its node, or what it gave is gone."""


def _get(ref: Any) -> Any:
    """The value. Raises _Lost, or the node's own error."""
    try:
        return ray.get(ref, timeout=60)
    except RayTaskError as error:
        if isinstance(error.cause, AnswerableError):
            raise error.cause from error
        raise
    except RayError as error:  # the actor or its node died, or what it gave was on a node that did
        raise _Lost(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _failed(found: Found) -> NodeResult:
    reason = f"{found.path.name}: its worker was lost {_LOSSES} times; ingest it alone, without --ray, to see why"
    return NodeResult((Kept(Outcome(found.uri, "failed", reason)), Ended(None)), np.zeros((0, 1), dtype=np.float32), ())


def _batches(files: Sequence[Found], nodes: int) -> list[_Batch]:
    most = max(1, min(_BATCH_FILES, len(files) // (_BATCHES_A_NODE * nodes)))
    batches: list[_Batch] = []
    batch: list[Found] = []
    size = 0
    for found in files:
        try:
            length = 0 if found.skipped else found.path.stat().st_size
        except OSError:  # the node that reads it says what is wrong
            length = 0
        if batch and (len(batch) == most or size + length > _BATCH_BYTES):
            batches.append(_Batch(tuple(batch)))
            batch, size = [], 0
        batch.append(found)
        size += length
    return [*batches, _Batch(tuple(batch))] if batch else batches
