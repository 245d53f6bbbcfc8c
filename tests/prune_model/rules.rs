//! The rules of the protocol, each of which can be turned off, and the scene in which something goes wrong then. Numbers of steps are those of `format-spec/12-prune.md`.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident in $scene:literal,)*) => {
        /// Which rules hold.
        #[derive(Clone, Copy, Debug)]
        pub struct Rules { $($(#[$doc])* pub $name: bool,)* }

        impl Rules {
            pub const ALL: Rules = Rules { $($name: true,)* };

            /// Each with one rule turned off; that rule's name, and the scene that shows what it is for.
            pub fn mutants() -> Vec<(&'static str, &'static str, Rules)> {
                vec![$((stringify!($name), $scene, Rules { $name: false, ..Rules::ALL }),)*]
            }
        }
    };
}

rules! {
    /// W1 before W3 and W4.
    writer_lists_notes_first in "two_forgotten",
    /// W1: notes are listed again until all that were listed can be read.
    notes_are_listed_until_read in "two_writers",
    /// W4: a pack that a notice names counts as missing when the writer begins.
    noticed_counts_as_missing in "copies_and_writer",
    /// W4: a pack that a mark names does too.
    marked_counts_as_missing in "one_writer",
    /// W4: a pack that is listed and absent counts as missing.
    absent_counts_as_missing in "lost_pack",
    /// W5: no pack that a note names is adopted.
    named_is_not_adopted in "left_over",
    /// W2: a session is opened.
    writer_opens_session in "one_writer",
    /// W6 and W7 come before W8.
    packs_before_intent in "one_writer",
    /// W8: an intent is stored.
    writer_stores_intent in "one_writer",
    /// W8 comes before W9.
    intent_before_check in "one_writer",
    /// W9: the writer looks for new notices at all.
    writer_checks in "one_writer",
    /// W10: and then for packs that are absent.
    check_lists_packs in "one_writer",
    /// W9 comes before W10.
    check_lists_notes_first in "one_writer",
    /// W10: adopted packs and the writer's own are checked too.
    check_covers_own_packs in "one_writer",
    /// W11 comes before W12.
    snapshot_before_intent_ends in "one_writer",
    /// W13: an intent stays when its writer gives up.
    given_up_intents_stay in "two_pruners",
    /// V1 comes before V3.
    intents_before_snapshots in "one_writer",
    /// V1 comes before V2.
    intents_before_notes in "two_pruners",
    /// V2 comes before V6.
    notes_before_packs in "copies",
    /// V7: intents are roots.
    intents_are_roots in "one_writer",
    /// V7: a copy in a pack that any notice names is no copy.
    noticed_copies_do_not_count in "one_writer",
    /// M2: an intent that is whole is published, never dropped.
    intents_are_finished in "one_writer",
    /// M2: an intent is dropped only when a blob of it is nowhere.
    held_intents_stay in "one_writer",
    /// M3: what is damaged is not moved: its damage would not show under a new name.
    damaged_is_not_moved in "damaged_pack",
    /// M3: live blobs that only noticed packs hold are copied out.
    live_blobs_are_copied_out in "one_writer",
    /// M4 comes before M5.
    copies_are_indexed in "one_writer",
    /// M5, S1: only what was marked before is noticed, when every open session has seen the mark.
    sessions_hold_sweeps in "one_writer",
    /// S2: room is made only with what notices name that were there before V1.
    room_looks_after_notices in "making_room",
    /// S2 comes before S3.
    notice_before_survey in "one_writer",
    /// S4: what is live in a noticed pack and nowhere else keeps the pack.
    live_packs_are_spared in "one_writer",
    /// S4: a copy in a pack that a mark names is no copy: it may be damaged.
    marked_copies_do_not_count in "crossing_marks",
    /// S5 comes before S6.
    index_before_old_index in "one_writer",
    /// S5: only packs that are absent are left out.
    index_keeps_present_packs in "one_writer",
    /// S6: a run removes only what its own new object covers.
    own_index_covers in "merging",
    /// S7: a mark stays as long as any pack that it names is there.
    marks_last in "damaged_pack",
    /// S7: a notice stays as long as any pack that it names is there.
    notices_stay in "taking_over",
    /// S7: a run's own notice stays.
    own_notice_stays in "one_writer",
    /// F1: a forgotten snapshot gets a tombstone, which hides it for good.
    forget_leaves_tombstone in "one_writer",
    /// F1 comes before F2.
    tombstone_before_removal in "one_writer",
}
