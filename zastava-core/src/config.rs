//! One tree of settings, read from a file, the environment and flags.
//!
//! A later layer wins over an earlier one: defaults, file, environment (`ZASTAVA__RUNTIME__TENANT`,
//! two underscores between levels, any case), flags. Each part reads its own [`Section`] and says
//! there what a key is called, what it may hold and what it is when nobody sets it. A fault does
//! not stop the reading: [`Configuration::read`] returns the value, or every fault at once, each with its
//! file and line, variable or flag. Keys that nobody asked for are faults too.

mod configuration;
mod fault;
mod section;
mod settings;
mod similar;
mod tree;
mod value;
mod yaml;

pub use configuration::Configuration;
pub use fault::{Fault, Faults, Origin, Problem};
pub use section::Section;
pub use settings::{Setting, Settings};
pub use value::{ByteSize, SettingValue};
