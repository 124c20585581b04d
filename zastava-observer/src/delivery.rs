//! Delivery: events wait in the outbox until Scanner has taken them or refused them for good.

mod accounting;
mod batch_size;
mod dead_letters;
mod lanes;
mod metrics;
mod outbox;
mod pace;
mod resend;
mod scanner_health;
mod shipper;
mod stored;

pub use self::accounting::Accounting;
pub use self::dead_letters::{DeadLetter, DeadLetters, Selection};
pub(crate) use self::outbox::Outbox;
pub(crate) use self::resend::Resend;
pub(crate) use self::scanner_health::ScannerHealth;
pub(crate) use self::shipper::Shipper;
