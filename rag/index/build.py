"""Rows of the database -> a sealed index; saved files -> a sealed index; and a sealed index -> files.

Building streams the rows into a draft file, trains on a sample of it and adds them block by block, so it needs little
more memory than the index itself. The draft becomes one of the index's files.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from rag.index import families, gpu
from rag.index.families import Family
from rag.index.files import (
    Manifest,
    StoredVectors,
    check_files,
    difference,
    publish,
    read_array,
    read_lists,
    read_manifest,
    write_lists,
)
from rag.index.interface import IndexOptions
from rag.index.sealed import Sealed
from rag.store import Collection, Store

FORMAT = 2
METRIC = "inner_product"
_WORK = ".building-"


@dataclass(frozen=True, slots=True)
class Shelf:
    """One collection's rows and the folder of its index."""

    folder: Path
    store: Store
    collection: Collection
    options: IndexOptions

    def build(self, like: Sealed) -> Sealed:
        """A sealed index over all rows, in memory alone; ``like``: an older one whose training may do."""
        ids, stored, seq = self._gather(None)
        return self._sealed(ids, stored, seq, like)

    def make(self, like: Sealed) -> Sealed:
        """The same, written to its files, and as it is read from them. One process builds at a time. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "write.lock"):
            for left in self.folder.glob(f"{_WORK}*"):  # by a process that was killed: with the lock, no other builds
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_WORK, dir=self.folder, ignore_cleanup_errors=True) as work:
                sealed = self._sealed(*self._gather(Path(work, "vectors.npy")), like)
                self._publish(sealed, Path(work))
        return self._remapped(sealed)

    def load(self, newer_than: int = -1) -> Sealed | None:
        """The saved index, None where there is none or none newer than that.

        Raises ValueError, OSError, TypeError, RuntimeError where the files are not what the manifest says, or the
        manifest does not fit the database.
        """
        if not (self.folder / "manifest.json").exists():
            return None
        manifest = read_manifest(self.folder)
        now = self.store.chunks.seq()
        if manifest.seq > now:
            raise ValueError(f"index is at change {manifest.seq}, the database at {now}: it was restored from a backup")
        if manifest.seq <= newer_than:
            return None
        expected = self._manifest(Family(manifest.kind), manifest.count, manifest.seq, dict(manifest.files))
        if manifest != expected:
            raise ValueError(f"manifest of {self.folder} does not fit the database: {difference(manifest, expected)}")
        return self._read(manifest, check_files(self.folder, manifest))

    def _sealed(self, ids: NDArray[np.int64], stored: StoredVectors, seq: int, like: Sealed) -> Sealed:
        plan = families.choose(self.options.family, len(ids), self.collection.dimension, self.options.memory)
        index = families.build(plan.family, stored.array, like.index if like.family is plan.family else None)
        on_gpu = gpu.clone(index, plan.family, self.options.device)
        return Sealed(plan.family, plan.mapped, ids, stored, index, seq, on_gpu)

    def _publish(self, sealed: Sealed, work: Path) -> None:
        seq = sealed.seq
        with (work / "ids.npy").open("wb") as out:
            np.save(out, sealed.ids, allow_pickle=False)
        drafts = {f"ids-{seq}.npy": work / "ids.npy", f"vectors-{seq}.npy": work / "vectors.npy"}
        if sealed.family is not Family.EXACT:
            drafts[f"lists-{seq}.faiss"] = work / "lists.faiss"
            write_lists(sealed.index, work / "lists.faiss")
        publish(self.folder, drafts, lambda files: self._manifest(sealed.family, len(sealed.ids), seq, files))

    def _read(self, manifest: Manifest, files: dict[str, Path]) -> Sealed:
        family = Family(manifest.kind)
        wanted = {"ids", "vectors"} if family is Family.EXACT else {"ids", "vectors", "lists"}
        if files.keys() != wanted:
            raise ValueError(f"manifest of {self.folder} lists {sorted(files)}, not {sorted(wanted)}")
        ids = read_array(files["ids"], mapped=False)
        stored = StoredVectors(read_array(files["vectors"], mapped=True), files["vectors"])
        shape = (manifest.count, self.collection.dimension)
        if stored.array.shape != shape or stored.array.dtype != np.dtype("<f2") or ids.shape != shape[:1]:
            raise ValueError(f"{files['vectors']} holds {stored.array.shape}, its manifest says {shape}")
        mapped = families.choose(family, manifest.count, self.collection.dimension, self.options.memory).mapped
        if family is Family.EXACT:
            index = families.build(family, stored.array)
        else:
            index = read_lists(files["lists"], mapped=mapped)
        if index.ntotal != manifest.count or index.d != self.collection.dimension:
            raise ValueError(f"{files['lists']} holds {index.ntotal} vectors of {index.d}, not {shape}")
        on_gpu = gpu.clone(index, family, self.options.device)
        return Sealed(family, mapped, ids, stored, index, manifest.seq, on_gpu)

    def _remapped(self, sealed: Sealed) -> Sealed:
        """The same over its files: what is to be mapped, is, and vectors are read where they stand."""
        path = self.folder / f"vectors-{sealed.seq}.npy"
        try:
            stored = StoredVectors(read_array(path, mapped=True), path)
            lists = self.folder / f"lists-{sealed.seq}.faiss"
            index = read_lists(lists, mapped=True) if sealed.mapped else sealed.index
        except (OSError, RuntimeError):  # another process has replaced the files already: what is in memory does
            return sealed
        return Sealed(sealed.family, sealed.mapped, sealed.ids, stored, index, sealed.seq, sealed.on_gpu)

    def _gather(self, path: Path | None) -> tuple[NDArray[np.int64], StoredVectors, int]:
        """Ids and vectors of all rows, and as of which change; the vectors in the file ``path``, or in memory."""
        width = self.collection.dimension
        with self.store.chunks.snapshot(self.collection) as rows, ExitStack() as stack:
            ids = np.empty(rows.count, dtype=np.int64)
            vectors = np.empty((0 if path else rows.count, width), dtype="<f2")
            out = stack.enter_context(path.open("wb")) if path else None
            if out:
                header = {"descr": "<f2", "fortran_order": False, "shape": (rows.count, width)}
                np.lib.format.write_array_header_1_0(out, header)
            done = 0
            for block_ids, block in rows.blocks:
                ids[done : done + len(block_ids)] = block_ids
                if out:
                    out.write(block.tobytes())
                else:
                    vectors[done : done + len(block_ids)] = block
                done += len(block_ids)
        if path and rows.count:
            return ids, StoredVectors(read_array(path, mapped=True), path), rows.seq
        return ids, StoredVectors(vectors), rows.seq

    def _manifest(self, family: Family, count: int, seq: int, files: dict[str, str]) -> Manifest:
        return Manifest(
            format=FORMAT,
            kind=family.value,
            metric=METRIC,
            store=self.store.id,
            collection=self.collection.id,
            encoder=self.collection.encoder,
            dimension=self.collection.dimension,
            count=count,
            seq=seq,
            mark=self.store.chunks.mark(seq),
            files=files,
        )
