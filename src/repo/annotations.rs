//! Annotations in the store: tags and pins beside snapshots. Layout: `format-spec/13-forgetting.md`.

use super::Repository;
use crate::{
    error::{Error, Result},
    hash,
    id::{AnnotationId, SeriesTag, SnapshotId},
    keys::Keyring,
    model::{
        annotation::{Annotation, Change},
        codec, limits,
    },
    object::{self, Kind},
    series::Series,
    store::ObjectName,
    world::{Entropy, Time},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// An annotation's name in the store.
pub fn object_name(tag: &SeriesTag, id: &AnnotationId) -> ObjectName {
    ObjectName::of_parts(&["notes", &tag.to_string(), &id.to_string()])
}

/// Seals an annotation; for maintainers and owners.
pub fn seal_annotation(keys: &Keyring, annotation: &Annotation, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    annotation.validate().map_err(Error::usage)?;
    object::seal_envelope(Kind::Annotation, keys.repo(), &keys.annotation_key()?, &codec::encode(annotation), entropy)
}

/// Opens an annotation and checks all that can be checked within it.
pub fn open_annotation(keys: &Keyring, bytes: &[u8], tag: &SeriesTag, name: &dyn fmt::Display) -> Result<Annotation> {
    let annotation = open_found(keys, bytes, name)?;
    if annotation.series != *tag {
        return Err(Error::corrupt(name, "it lies in the folder of another series"));
    }
    Ok(annotation)
}

/// Opens an annotation that was found without its name: it says itself where it belongs.
pub fn open_found(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<Annotation> {
    let payload = object::open_envelope(Kind::Annotation, keys.repo(), &keys.annotation_key()?, bytes, name)?;
    let annotation: Annotation = codec::decode(&payload).map_err(|e| Error::corrupt(name, e))?;
    annotation.validate().map_err(|e| Error::corrupt(name, e))?;
    Ok(annotation)
}

/// Why a snapshot is never to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What the user said.
    pub reason: Option<String>,
    /// Since when.
    pub time: Time,
    /// Who said so.
    pub user: String,
    /// And on which machine.
    pub host: String,
}

/// That a snapshot was made of another one, of which something was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewriting {
    /// The other one.
    pub from: SnapshotId,
    /// What was taken out, and why.
    pub what: String,
    /// When.
    pub time: Time,
    /// Who did it.
    pub user: String,
    /// And on which machine.
    pub host: String,
}

/// What holds of one snapshot after all that was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Tags that were given (true) and taken (false).
    pub tags: BTreeMap<String, bool>,
    /// The pin, if it is pinned.
    pub pin: Option<Pin>,
    /// What it was made of, when something was taken out of it; what was said first comes first.
    pub rewritten: Vec<Rewriting>,
    /// The highest number of what was said.
    pub counter: u64,
}

impl Marks {
    /// The snapshot's tags: those that it was made with, and what became of them. Sorted.
    pub fn tags_with(&self, own: &[String]) -> Vec<String> {
        let kept = own.iter().filter(|tag| !self.tags.contains_key(*tag));
        let given = self.tags.iter().filter(|(_, on)| **on).map(|(tag, _)| tag);
        let mut all: Vec<String> = kept.chain(given).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    fn say(&mut self, annotation: Annotation) {
        let Annotation { counter, time, host, user, changes, .. } = annotation;
        self.counter = self.counter.max(counter);
        for change in changes {
            match change {
                Change::Tag { tag, on } => drop(self.tags.insert(tag, on)),
                Change::Pin { on: false, .. } => self.pin = None,
                Change::Pin { on: true, reason } => {
                    self.pin = Some(Pin { reason, time, user: user.clone(), host: host.clone() });
                }
                Change::Rewritten { from, what } => {
                    self.rewritten.push(Rewriting { from, what, time, user: user.clone(), host: host.clone() });
                }
            }
        }
    }
}

/// An annotation that cannot be read.
#[derive(Debug)]
pub struct Illegible {
    /// The series it belongs to: of which snapshot it speaks does not show.
    pub tag: SeriesTag,
    /// Its name.
    pub object: String,
    /// Why it cannot be read.
    pub error: Error,
}

/// The repository's annotations, or those of one series.
#[derive(Debug, Default)]
pub struct Annotations {
    marks: HashMap<(SeriesTag, SnapshotId), Marks>,
    /// Every annotation that can be read, with the snapshot that it speaks of.
    pub objects: Vec<(ObjectName, SeriesTag, SnapshotId)>,
    /// Those that cannot.
    pub illegible: Vec<Illegible>,
}

impl Annotations {
    /// What holds of a snapshot.
    pub fn of(&self, tag: &SeriesTag, id: &SnapshotId) -> Marks {
        self.marks.get(&(*tag, *id)).cloned().unwrap_or_default()
    }

    /// The annotations that speak of a snapshot, in the order in which they count.
    pub fn said_of(&self, repo: &Repository, tag: &SeriesTag, id: &SnapshotId) -> Result<Vec<Annotation>> {
        let of_it = self.objects.iter().filter(|(_, of, snapshot)| of == tag && snapshot == id);
        let read = |name: &ObjectName| match AnnotationId::parse(name.leaf()) {
            Ok(id) => repo.read_annotation(tag, &id),
            Err(e) => Err(Error::corrupt(name, e)),
        };
        of_it.map(|(name, ..)| read(name)).collect()
    }

    /// An annotation of the series that cannot be read: it may pin any of the snapshots.
    pub fn doubt(&self, tag: &SeriesTag) -> Option<&Illegible> {
        self.illegible.iter().find(|one| one.tag == *tag)
    }

    // Of two with one number the one with the higher id is the later: all readers must come to the same.
    fn new(mut all: Vec<(AnnotationId, Annotation)>, illegible: Vec<Illegible>) -> Self {
        all.sort_by_key(|(id, annotation)| (annotation.counter, *id));
        let mut out = Annotations { illegible, ..Annotations::default() };
        for (id, annotation) in all {
            let (tag, snapshot) = (annotation.series, annotation.snapshot);
            out.objects.push((object_name(&tag, &id), tag, snapshot));
            out.marks.entry((tag, snapshot)).or_default().say(annotation);
        }
        out
    }
}

impl Repository {
    /// Reads one annotation.
    pub fn read_annotation(&self, tag: &SeriesTag, id: &AnnotationId) -> Result<Annotation> {
        let name = object_name(tag, id);
        let bytes = self.store().get(&name, limits::MARK_MAX)?;
        if hash::object_name(&bytes) != id.0 {
            return Err(Error::corrupt(&name, "its bytes are not those of its name"));
        }
        open_annotation(self.keys(), &bytes, tag, &name)
    }

    /// Names of the annotations of one series, or of all.
    pub fn annotation_names(&self, series: Option<&Series>) -> Result<Vec<(SeriesTag, AnnotationId)>> {
        Ok(self.names_below("notes", series)?.into_iter().map(|(tag, id, _)| (tag, AnnotationId(id))).collect())
    }

    /// Reads the annotations of one series, or of all; for maintainers and owners.
    pub fn annotations(&self, series: Option<&Series>) -> Result<Annotations> {
        self.keys().annotation_key()?;
        let (mut all, mut illegible) = (Vec::new(), Vec::new());
        for (tag, id) in self.annotation_names(series)? {
            match self.read_annotation(&tag, &id) {
                Ok(annotation) => all.push((id, annotation)),
                // Removed with its snapshot since it was listed.
                Err(Error::Missing { .. }) => {}
                Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. } | Error::Store { .. })) => {
                    illegible.push(Illegible { tag, object: object_name(&tag, &id).to_string(), error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Annotations::new(all, illegible))
    }

    /// Stores an annotation. Durable after the store's next sync.
    pub fn annotate(&self, annotation: &Annotation) -> Result<AnnotationId> {
        let bytes = seal_annotation(self.keys(), annotation, self.entropy())?;
        let id = AnnotationId(hash::object_name(&bytes));
        self.store().put(&object_name(&annotation.series, &id), &bytes)?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(counter: u64, changes: Vec<Change>) -> Annotation {
        let (series, snapshot) = (SeriesTag([1; 16]), SnapshotId([2; 32]));
        let time = Time::from_sec(counter as i64);
        Annotation { series, snapshot, counter, time, host: "h".into(), user: "u".into(), changes }
    }

    fn tag(tag: &str, on: bool) -> Change {
        Change::Tag { tag: tag.into(), on }
    }

    fn pin(on: bool) -> Change {
        Change::Pin { on, reason: on.then(|| "audit".into()) }
    }

    #[test]
    fn what_is_said_last_of_the_same_thing_holds_in_whatever_order_it_is_read() {
        let all = vec![
            (AnnotationId([9; 32]), said(1, vec![tag("a", true), pin(true), tag("own", false)])),
            (AnnotationId([3; 32]), said(2, vec![tag("a", false), tag("b", true)])),
            (AnnotationId([4; 32]), said(2, vec![tag("a", true)])),
        ];
        for turn in 0..3 {
            let mut all = all.clone();
            all.rotate_left(turn);
            let marks = Annotations::new(all, vec![]).of(&SeriesTag([1; 16]), &SnapshotId([2; 32]));
            // A tag that somebody gave at the same time takes no pin away.
            assert_eq!(marks.pin.as_ref().and_then(|pin| pin.reason.as_deref()), Some("audit"));
            assert_eq!(marks.tags_with(&["own".into(), "z".into()]), ["a", "b", "z"]);
            assert_eq!(marks.counter, 2);
        }
        let other = Annotations::new(all, vec![]).of(&SeriesTag([1; 16]), &SnapshotId([7; 32]));
        assert_eq!(other, Marks::default());
    }

    #[test]
    fn a_pin_is_taken_off() {
        let all =
            vec![(AnnotationId([1; 32]), said(1, vec![pin(true)])), (AnnotationId([0; 32]), said(2, vec![pin(false)]))];
        assert_eq!(Annotations::new(all, vec![]).of(&SeriesTag([1; 16]), &SnapshotId([2; 32])).pin, None);
    }
}
