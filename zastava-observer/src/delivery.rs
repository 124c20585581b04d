//! Delivery: events wait in the outbox until Scanner has taken them or refused them for good.

mod accounting;
mod batch_size;
mod dead_letters;
mod metrics;
mod outbox;
mod scanner_health;
mod shipper;
mod stored;
mod token_bucket;

pub use self::accounting::Accounting;
pub(crate) use self::outbox::Outbox;
pub(crate) use self::scanner_health::ScannerHealth;
pub(crate) use self::shipper::Shipper;
