"""The data contract: every table's columns and their types, written out.

Coordinates are pixels (x right, y down, origin at the top-left corner of the image), frames count from 0, intervals are
half-open `[start, end)`, times are seconds from the first frame, angles are degrees. A missing number is null or NaN,
never a sentinel.
"""

import pyarrow as pa

F32 = pa.list_(pa.float32())


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


TABLES: dict[str, pa.Schema] = {
    # --- what came in (datasets/<source>/index) ---------------------------------------------------------------
    "samples": _schema(
        sample_id=pa.string(),  # <source>/<native id>
        source=pa.string(),
        kind=pa.string(),  # image | clip | poses
        media=pa.string(),  # a video file relative to the project root; null: frames lie in `frames` or nowhere
        width=pa.int32(),
        height=pa.int32(),
        fps=pa.float64(),
        frames=pa.int32(),
        group=pa.string(),  # what must not straddle a split: subject, video, source photo
        official_split=pa.string(),  # train | validation | test | unseen_validation | unseen_test, null: none
        exercise=pa.string(),  # canonical name of the ontology, null where unknown or outside it
        exercise_native=pa.string(),  # the set's own word
        media_sha256=pa.string(),
    ),
    "frames": _schema(  # where each stored image lies: byte range in an uncompressed tar shard
        sample_id=pa.string(),
        frame=pa.int32(),
        variant=pa.string(),  # augmented sibling (Roboflow's rf hash), '' for a plain frame
        name=pa.string(),  # the file's own name
        shard=pa.string(),  # file beside this table
        offset=pa.int64(),
        size=pa.int64(),
        sha256=pa.string(),
    ),
    "masks": _schema(
        sample_id=pa.string(),
        variant=pa.string(),
        person=pa.int32(),
        label=pa.string(),  # biceps | triceps | calf | ...
        png=pa.binary(),  # 8-bit PNG, 0 or 255, size of the image
        origin=pa.string(),
    ),
    "sets": _schema(  # stretches of one exercise
        sample_id=pa.string(),
        set=pa.int32(),
        start=pa.int32(),
        end=pa.int32(),
        exercise=pa.string(),  # 'none' for rest
        exercise_p=pa.float64(),  # null where not estimated
        reps=pa.int32(),  # null where unknown
        origin=pa.string(),
    ),
    "boxes": _schema(  # around a whole person, as the set has it; no row where it has none
        sample_id=pa.string(),
        frame=pa.int32(),
        person=pa.int32(),
        x_px=pa.float32(),  # left edge; may lie outside the image
        y_px=pa.float32(),  # top edge
        width_px=pa.float32(),
        height_px=pa.float32(),
        origin=pa.string(),
    ),
    "muscles": _schema(  # muscle groups expected to work in a whole clip or image
        sample_id=pa.string(),
        label=pa.string(),  # one of repset.exercises.MUSCLE_GROUPS
        role=pa.string(),  # primary | secondary, null where the set does not tell them apart
        evidence=pa.string(),  # the file or table entry it was taken from
        origin=pa.string(),  # dataset: given for this clip; rule: the default of its exercise
    ),
    "inertial": _schema(  # readings of worn sensors, on the clock of the poses
        sample_id=pa.string(),
        device=pa.string(),  # sw_l | sw_r | sp_l | sp_r | eb_l: watch, phone, earbud; left, right
        sensor=pa.string(),  # acc | gyr | mag | hr
        frame=pa.int32(),  # video frame the set puts it at
        time_s=pa.float64(),  # seconds from video frame 0
        value=F32,  # as the set gives it: x, y, z, or one number (hr)
    ),
    # --- poses and what follows from them (index: the set's own; labels: automatic) ----------------------------
    "poses": _schema(
        sample_id=pa.string(),
        frame=pa.int32(),
        time_s=pa.float64(),
        person=pa.int32(),
        skeleton=pa.string(),  # name in repset.landmarks.SKELETONS, gives K and the joint order
        x_px=F32,
        y_px=F32,
        visibility=F32,  # 0..1
        state=pa.list_(pa.int8()),  # repset.landmarks.JointState
        xyz_m=F32,  # K*3 row-major, metres; null where unknown
        origin=pa.string(),
    ),
    "angles": _schema(
        sample_id=pa.string(),
        frame=pa.int32(),
        person=pa.int32(),
        name=pa.string(),  # row of repset.angles.ANGLES, with its side: left_elbow
        value_deg=pa.float32(),  # NaN: unknown
    ),
    "reps": _schema(
        sample_id=pa.string(),
        person=pa.int32(),
        set=pa.int32(),
        rep=pa.int32(),
        exercise=pa.string(),
        start=pa.int32(),
        turn=pa.int32(),
        end=pa.int32(),
        start_s=pa.float64(),
        turn_s=pa.float64(),
        end_s=pa.float64(),
        complete=pa.bool_(),  # returned to the start position
        range_deg=pa.float64(),  # range of motion of the joint's own angle, from rest to turn
        eccentric_s=pa.float64(),  # tempo (repset.autolabel.tempo): the weight goes down; null where not seen
        pause_s=pa.float64(),  # held at the turn
        concentric_s=pa.float64(),  # the weight goes up
        origin=pa.string(),
    ),
    "form": _schema(
        sample_id=pa.string(),
        person=pa.int32(),
        set=pa.int32(),
        level=pa.string(),  # clip | rep | frame
        rep=pa.int32(),  # null at clip level
        start=pa.int32(),
        end=pa.int32(),
        exercise=pa.string(),
        verdict=pa.string(),  # correct | incorrect | unscorable
        rule_set=pa.string(),
        rule_id=pa.string(),  # the rule that decided; null where every rule held
        signal=pa.string(),
        value_deg=pa.float64(),
        low_deg=pa.float64(),
        high_deg=pa.float64(),
        view=pa.string(),  # front | side | three_quarter | back | unknown
        message=pa.string(),
        rules_sha256=pa.string(),
        origin=pa.string(),
    ),
    # --- checks (datasets/checks/<source>) ---------------------------------------------------------------------
    "fingerprints": _schema(  # by which images and clips are compared (repset.curate.fingerprints)
        sample_id=pa.string(),
        frame=pa.int32(),
        variant=pa.string(),
        time_s=pa.float64(),
        picture=pa.binary(),  # SIDE * SIDE grey levels, row-major
    ),
    "findings": _schema(
        code=pa.string(),  # key of repset.curate.checks.CODES
        severity=pa.string(),  # error | warning | note
        sample_id=pa.string(),  # null where the whole source is meant
        frame=pa.int32(),  # null where no one frame is meant
        other_id=pa.string(),  # the other sample of a pair
        value=pa.float64(),  # what was measured, in the sentence with its unit
        sentence=pa.string(),
    ),
    # --- splits, proposals, curated tables -------------------------------------------------------------------
    "split": _schema(
        sample_id=pa.string(),
        group=pa.string(),
        fold=pa.string(),  # train | calibration | validation | test
        official_split=pa.string(),
    ),
    "proposals": _schema(
        sample_id=pa.string(),
        task=pa.string(),
        target=pa.string(),  # JSON: class, person, frame, interval_s
        value=pa.string(),  # JSON; null where the value is the blob
        blob=pa.binary(),
        score=pa.float64(),  # 0..1, calibrated or not as the model card says
        origin=pa.string(),
        origin_hash=pa.string(),
        value_hash=pa.string(),
    ),
    "curated": _schema(
        sample_id=pa.string(),
        source=pa.string(),
        group=pa.string(),
        fold=pa.string(),
        official_split=pa.string(),
        task=pa.string(),
        target=pa.string(),  # JSON, sorted keys
        value=pa.string(),  # JSON
        blob=pa.binary(),
        tier=pa.string(),  # gold | gold_corrected | edited | accepted | auto
        origin=pa.string(),  # dataset | dataset_estimate | mediapipe | rule | model | human
        origin_hash=pa.string(),
        reviewer=pa.string(),
        original_value=pa.string(),  # the dataset's own value where a person corrected it
        original_blob=pa.binary(),
        media_sha256=pa.string(),
    ),
}
"""Column name and type of every table; column comments are the contract."""
