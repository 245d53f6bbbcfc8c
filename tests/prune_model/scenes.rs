//! What is tried: each scene is small enough to look at all of it.

use super::{
    model::{A, B, C, Scene},
    pruner::Run::{self, Mark, Room, Sweep},
};

const ONCE: &[Run] = &[Mark, Sweep];
const TWICE: &[Run] = &[Mark, Sweep, Mark, Sweep];

const BASE: Scene = Scene {
    name: "one_writer",
    packs: &[A | B],
    indexes: &[1],
    wants: [A | B, A | C, 0],
    writers: 1,
    pruners: &[(TWICE, false)],
    forgets: &[0, 1],
    repack: false,
    marks_stay: false,
    lost: 0,
    damaged: 0,
    marks: &[],
    holed: 0,
    notice_any: false,
    snapshots: 1,
    young: true,
    litter: true,
};

/// Its packs are garbage from the start; too many ways for asking each what remains.
const BUSY: Scene = Scene { pruners: &[(ONCE, false)], forgets: &[], snapshots: 0, litter: false, ..BASE };

/// Two pruners that hold different copies for superfluous.
const RIVALS: Scene = Scene {
    packs: &[A | B, A],
    indexes: &[3],
    wants: [A, A, 0],
    pruners: &[(ONCE, false), (ONCE, true)],
    forgets: &[],
    ..BASE
};

/// Marks stay, and a notice may leave out what they name.
const LASTING: Scene = Scene { marks_stay: true, notice_any: true, forgets: &[], ..BASE };

pub const ALL: &[Scene] = &[
    BASE,
    Scene { name: "left_over", packs: &[A, C], wants: [A, A | C, 0], ..BASE },
    Scene { name: "lost_pack", packs: &[A, C], wants: [A, A | C, 0], indexes: &[3], lost: 2, ..BASE },
    Scene { name: "repacking", wants: [A, A | C, 0], repack: true, ..BASE },
    Scene { name: "marks_stay", marks_stay: true, ..BASE },
    Scene { name: "many_runs", pruners: &[(&[Mark, Mark, Sweep, Mark, Sweep], false)], ..BASE },
    Scene {
        name: "two_forgotten",
        packs: &[A, B],
        indexes: &[3],
        wants: [A, A | C, B],
        snapshots: 5,
        forgets: &[0, 2],
        ..BASE
    },
    Scene { name: "copies", pruners: &[(&[Mark, Sweep, Sweep], false), (ONCE, true)], writers: 0, ..RIVALS },
    Scene { name: "merging", packs: &[A, B], indexes: &[3, 3], writers: 0, ..RIVALS },
    Scene { name: "two_writers", wants: [0, A | C, B | C], writers: 2, ..BUSY },
    Scene { name: "copies_and_writer", young: false, litter: false, ..RIVALS },
    Scene { name: "two_pruners", pruners: &[(ONCE, false), (&[Mark], false)], ..BUSY },
    Scene {
        name: "damaged_pack",
        damaged: 1,
        marks: &[1],
        holed: 1,
        pruners: &[(&[Sweep, Mark, Sweep], false)],
        ..LASTING
    },
    Scene {
        name: "damaged_copy",
        packs: &[A, A],
        indexes: &[3],
        wants: [A, A | C, 0],
        damaged: 1,
        marks: &[1],
        pruners: &[(TWICE, false)],
        ..LASTING
    },
    Scene {
        name: "crossing_marks",
        packs: &[A, A],
        indexes: &[3],
        wants: [A, A | C, 0],
        damaged: 1,
        marks: &[1, 2],
        pruners: &[(&[Sweep, Mark, Sweep], false)],
        ..LASTING
    },
    Scene { name: "making_room", pruners: &[(ONCE, false), (&[Room, Sweep], false)], ..BUSY },
    Scene { name: "room_among_copies", pruners: &[(ONCE, false), (&[Room, Sweep], true)], writers: 0, ..RIVALS },
    Scene {
        name: "room_beside_marks",
        packs: &[A, A],
        indexes: &[3],
        wants: [A, A | C, 0],
        damaged: 1,
        marks: &[1],
        pruners: &[(&[Sweep, Room, Mark, Sweep], false)],
        ..LASTING
    },
    Scene { name: "taking_over", pruners: &[(ONCE, false), (&[Sweep, Sweep], false)], ..BUSY },
];
