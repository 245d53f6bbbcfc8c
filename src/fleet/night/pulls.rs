//! Repositories of other servers, brought here; and the copies, held against the names of their objects. No key is needed for either.

use super::{Came, Going, What, keeping::many};
use crate::{
    error::{Error, Result},
    fleet::config::Pull,
    monitor::Monitor,
    name::Shown,
    ops::check::{ReadData, keyless},
    store::open::{self, Place},
    world::KernelEntropy,
};

impl Going<'_> {
    /// Pulls that are due, each followed by the check of its copy, if that is.
    pub(super) fn pulls(&mut self) {
        let night = self.night;
        for pull in night.fleet.pulls.values().filter(|pull| pull.is_done_by(night.host)) {
            let what = What::Pull(pull.server.clone());
            if self.is_due(&what, pull.every) {
                let planned = format!("from {}", Shown(pull.from.as_bytes()));
                self.job(what, &planned, &mut |going, monitor| going.pull(pull, monitor));
            }
            let what = What::Check(pull.copy_name());
            if self.is_due(&what, pull.check) {
                let planned = match pull.read {
                    Some(share) => format!("reading {share}%"),
                    None => "names only".into(),
                };
                self.job(what, &planned, &mut |going, monitor| going.check_copy(pull, monitor));
            }
        }
    }

    fn pull(&mut self, pull: &Pull, monitor: &dyn Monitor) -> Result<Came> {
        let report = self.night.around.pull(pull, monitor)?;
        if report.is_rolled_back() {
            return Ok(Came::Failed(report.told(&pull.server)));
        }
        if let Some((object, what)) = report.copy.damaged.first_key_value() {
            return Ok(Came::Failed(format!(
                "{} there: {} first: {}; see `vault check` on {}",
                many(report.copy.damaged.len(), "object is damaged", "objects are damaged"),
                Shown(object.as_bytes()),
                Shown(what.as_bytes()),
                Shown(pull.server.as_bytes())
            )));
        }
        let snapshots = many(report.copy.snapshots as usize, "new snapshot", "new snapshots");
        Ok(Came::Good(format!("{snapshots}, {}", many(report.copy.objects as usize, "object", "objects"))))
    }

    fn check_copy(&mut self, pull: &Pull, monitor: &dyn Monitor) -> Result<Came> {
        let store = match open::open(&Place::Local(pull.folder())) {
            // That it was never pulled, or is not mounted, the pull tells.
            Err(Error::NoRepository { .. }) => return Ok(Came::Skipped("there is no copy yet".into())),
            store => store?,
        };
        let read = pull.read.map_or(ReadData::None, ReadData::Percent);
        let cache = self.night.around.cache();
        let around = keyless::Around { clock: self.night.clock, entropy: &KernelEntropy, cache: cache.as_deref() };
        let report = keyless::check(&*store, read, 0, &around, monitor)?;
        Ok(super::keeping::of_keyless(&report))
    }
}
