//! Settings from a file, the environment and flags, merged into one tree.
//!
//! A later layer overrides an earlier one: defaults, the file, environment variables
//! (`ZASTAVA__RUNTIME__TENANT`: two underscores separate levels, in any case), flags. Names that a variable adds to a map are
//! as written, but for those in capitals alone, which are taken for lower case.
//! Nothing in a value is expanded: a `${NAME}` that is left in one is a fault, and `$${NAME}` is the text `${NAME}`.
//!
//! Each part reads its own [`Section`] and declares there the name, the type and the default of each
//! key. A fault does not stop the reading: [`Configuration::read`] returns either the value or all
//! faults, each with its file and line, variable or flag. Keys that no part reads are faults.

mod configuration;
mod fault;
mod placeholder;
mod section;
mod settings;
mod shown;
mod similar;
mod tree;
mod value;
mod yaml;

pub use configuration::Configuration;
pub use fault::{Fault, Faults, Origin, Problem};
pub use section::Section;
pub use settings::{Setting, Settings};
pub use value::{ByteSize, SettingValue};
