"""What leaves the project: a source's images and labels in the formats of other tools, and what each cannot hold.

`EXPORTS` is the whole list. Every writer measures what its format loses, by reading back what it wrote or by the
format's own rules, and the loss stands in `loss.json` beside the export.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from repset.export.coco import write_coco_keypoints, write_coco_segmentation
from repset.export.losses import Losses
from repset.export.motion import write_c3d, write_mot, write_trc
from repset.export.roboflow_masks import write_roboflow_masks
from repset.export.selection import Selection
from repset.export.tables import write_csv_tables
from repset.export.yolo import write_yolo_pose, write_yolo_seg


@dataclass(frozen=True)
class Export:
    """One format.

    Attributes:
        needs: what is exported: masks | poses | events.
        write: puts it below a folder and records what is lost; returns what was written, name → count.
    """

    needs: str
    write: Callable[[Selection, Path, Losses], dict[str, int]]


EXPORTS: dict[str, Export] = {
    "coco-keypoints": Export("poses", write_coco_keypoints),
    "coco-segmentation": Export("masks", write_coco_segmentation),
    "yolo-pose": Export("poses", write_yolo_pose),
    "yolo-seg": Export("masks", write_yolo_seg),
    "roboflow-masks": Export("masks", write_roboflow_masks),
    "csv": Export("events", write_csv_tables),
    "trc": Export("poses", write_trc),
    "mot": Export("poses", write_mot),
    "c3d": Export("poses", write_c3d),
}
