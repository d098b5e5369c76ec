"""Where data comes from: one reader a family, pulling with verification, and the index that readers write.

`SOURCES` is the whole list of families; a source (`pipelines/<source>.yaml`) names the family it is read as.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from repset.params import SourceSpec
from repset.sources import folder, mmfit, muscle_video, penn_action, roboflow_export
from repset.sources.tree import Tree, Wanted
from repset.sources.writer import IndexWriter

Progress = Callable[[Iterable[str]], Iterator[str]]
"""Passes items through while it shows how far the work is."""


@dataclass(frozen=True)
class Family:
    """How the sets of one format are recognised and read.

    Attributes:
        expected: what its folder or archive holds, for messages.
        wanted: files worth keeping of a folder; essential: files without which there is nothing to read.
        read: puts everything into an IndexWriter.
    """

    expected: str
    wanted: Wanted
    essential: Wanted
    read: Callable[[Tree, SourceSpec, IndexWriter, Progress], None]


SOURCES: dict[str, Family] = {
    "roboflow": Family(
        roboflow_export.EXPECTED, roboflow_export.wanted, roboflow_export.essential, roboflow_export.read
    ),
    "penn_action": Family(penn_action.EXPECTED, penn_action.wanted, penn_action.essential, penn_action.read),
    "mmfit": Family(mmfit.EXPECTED, mmfit.wanted, mmfit.essential, mmfit.read),
    "muscle_video": Family(muscle_video.EXPECTED, muscle_video.wanted, muscle_video.essential, muscle_video.read),
    "folder": Family(folder.EXPECTED, folder.wanted, folder.essential, folder.read),
}
