"""Which item comes when, and what it looks like: functions of seed, epoch and item, never of a generator's history."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler


class Items(Protocol):
    """A fold: item i is (input, target) as tensors; it may draw from torch's global generator (augmentation)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[torch.Tensor, torch.Tensor]: ...


def mixed(*parts: object) -> int:
    """A 63-bit seed from its parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


class Shuffle(Sampler[tuple[int, int]]):
    """(epoch, item) keys in an order that only seed and epoch decide; Lightning calls `set_epoch`.

    With `draw` items are drawn with replacement, each as often as its weight says. Of several processes each takes
    every so-many-th key, all the same number (up to world - 1 keys of an epoch are left out).
    """

    def __init__(
        self, length: int, seed: int, draw: Sequence[float] | None = None, rank: int = 0, world: int = 1
    ) -> None:
        self._length, self._seed, self._epoch = length, seed, 0
        self._rank, self._world = rank, world
        self._p = None if draw is None else np.asarray(draw, np.float64) / np.sum(draw)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length // self._world

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng(mixed(self._seed, "order", self._epoch))
        length = self._length
        order = rng.permutation(length) if self._p is None else rng.choice(length, length, p=self._p)
        mine = order[self._rank :: self._world][: len(self)]
        return iter([(self._epoch, int(item)) for item in mine])


class Seeded(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Items whose augmentation only (seed, epoch, item) decide."""

    def __init__(self, items: Items, seed: int) -> None:
        self._items, self._seed = items, seed

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(self._seed, "item", *key))
            return self._items[key[1]]
