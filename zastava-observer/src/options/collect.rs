//! `zastava.observer.collect`: what is read of each workload.

use std::time::Duration;

use zastava_core::config::{ByteSize, Section};

/// What is read of each workload, and within which limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CollectOptions {
    /// Whether the declared program is followed to the one that really runs, through scripts and wrappers.
    pub entry_trace: bool,
    /// The most steps of that.
    pub entry_trace_steps_max: usize,
    /// Whether the shared objects of the main process are listed.
    pub loaded_libraries: bool,
    /// The most shared objects that are listed.
    pub libraries_max: usize,
    /// The largest file that is hashed. Larger ones are listed without a hash.
    pub library_bytes_max: u64,
    /// The most bytes that are hashed for one workload.
    pub hash_bytes_max: u64,
    /// How long after its start a workload is looked at again; zero means that it is not.
    pub second_look_after: Duration,
    /// How long after that it is looked at for the last time; zero means that it is not.
    pub third_look_after: Duration,
    /// The most words of the entrypoint that are sent. The program itself always is.
    pub entrypoint_arguments_max: usize,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            entry_trace: true,
            entry_trace_steps_max: 48,
            loaded_libraries: true,
            libraries_max: 256,
            library_bytes_max: 32 << 20,
            hash_bytes_max: 64_000_000,
            second_look_after: Duration::from_secs(10),
            third_look_after: Duration::from_secs(120),
            entrypoint_arguments_max: 32,
        }
    }
}

impl CollectOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let options = Self {
            entry_trace: section.value("entryTrace", default.entry_trace),
            entry_trace_steps_max: section.checked(
                "maxDepth",
                default.entry_trace_steps_max,
                "1 to 48",
                |steps| (1..=48).contains(steps),
            ),
            loaded_libraries: section.value("loadedLibs", default.loaded_libraries),
            libraries_max: section
                .checked("maxLibs", default.libraries_max, "4096 or less", |max| *max <= 4096),
            library_bytes_max: section.value("maxLibraryBytes", ByteSize(default.library_bytes_max)).0,
            hash_bytes_max: section.value("maxHashBytesPerContainer", ByteSize(default.hash_bytes_max)).0,
            second_look_after: section.value("secondLookAfter", default.second_look_after),
            third_look_after: section.value("thirdLookAfter", default.third_look_after),
            entrypoint_arguments_max: section.checked(
                "maxEntrypointArguments",
                default.entrypoint_arguments_max,
                "1024 or less",
                |max| *max <= 1024,
            ),
        };
        section.finish();
        options
    }
}
