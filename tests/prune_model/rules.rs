//! The rules of the protocol, each of which can be turned off. Numbers of steps are those of `format-spec/12-prune.md`.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Which rules hold.
        #[derive(Clone, Copy, Debug)]
        pub struct Rules { $($(#[$doc])* pub $name: bool,)* }

        impl Rules {
            pub const ALL: Rules = Rules { $($name: true,)* };

            /// Each with one rule turned off, and that rule's name.
            pub fn mutants() -> Vec<(&'static str, Rules)> {
                vec![$((stringify!($name), Rules { $name: false, ..Rules::ALL }),)*]
            }
        }
    };
}

rules! {
    /// W1 before W3 and W4.
    writer_lists_notes_first,
    /// W1: notes are listed again until all that were listed can be read.
    notes_are_listed_until_read,
    /// W4: a pack that a notice names counts as missing when the writer begins.
    noticed_counts_as_missing,
    /// W4: a pack that a mark names does too.
    marked_counts_as_missing,
    /// W4: a pack that is listed and absent counts as missing.
    absent_counts_as_missing,
    /// W5: no pack that a note names is adopted.
    named_is_not_adopted,
    /// W2: a session is opened.
    writer_opens_session,
    /// W6 and W7 come before W8.
    packs_before_intent,
    /// W8: an intent is stored.
    writer_stores_intent,
    /// W8 comes before W9.
    intent_before_check,
    /// W9: the writer looks for new notices at all.
    writer_checks,
    /// W10: and then for packs that are absent.
    check_lists_packs,
    /// W9 comes before W10.
    check_lists_notes_first,
    /// W10: adopted packs and the writer's own are checked too.
    check_covers_own_packs,
    /// W11 comes before W12.
    snapshot_before_intent_ends,
    /// W13: an intent stays when its writer gives up.
    given_up_intents_stay,
    /// V1 comes before V3.
    intents_before_snapshots,
    /// V1 comes before V2.
    intents_before_notes,
    /// V2 comes before V6.
    notes_before_packs,
    /// V7: intents are roots.
    intents_are_roots,
    /// V7: a copy in a pack that any notice names is no copy.
    noticed_copies_do_not_count,
    /// M2: an intent that is whole is published, never dropped.
    intents_are_finished,
    /// M2: an intent is dropped only when a blob of it is nowhere.
    held_intents_stay,
    /// M3: live blobs that only noticed packs hold are copied out.
    live_blobs_are_copied_out,
    /// M4 comes before M5.
    copies_are_indexed,
    /// M5, S1: only what was marked before is noticed, when every open session has seen the mark.
    sessions_hold_sweeps,
    /// S2 comes before S3.
    notice_before_survey,
    /// S4: what is live in a noticed pack and nowhere else keeps the pack.
    live_packs_are_spared,
    /// S5 comes before S6.
    index_before_old_index,
    /// S5: only packs that are absent are left out.
    index_keeps_present_packs,
    /// S6: a run removes only what its own new object covers.
    own_index_covers,
    /// S7: a notice stays as long as any pack that it names is there.
    notices_stay,
    /// S7: a run's own notice stays.
    own_notice_stays,
    /// F1: a forgotten snapshot gets a tombstone, which hides it for good.
    forget_leaves_tombstone,
    /// F1 comes before F2.
    tombstone_before_removal,
}
