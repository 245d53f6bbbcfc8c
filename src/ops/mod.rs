//! One verb each: plan (plain data), then apply. An operation tells its monitor what it does and returns a report.

pub mod lookup;
pub mod walk;
