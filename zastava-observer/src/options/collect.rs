//! `zastava.observer.collect`: what is read of each workload.

use zastava_core::config::{ByteSize, Section};

/// What is read of each workload, and within which limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CollectOptions {
    /// Whether the shared objects of the main process are listed.
    pub loaded_libraries: bool,
    /// The most shared objects that are listed.
    pub libraries_max: usize,
    /// The largest file that is hashed. Larger ones are listed without a hash.
    pub library_bytes_max: u64,
    /// The most bytes that are hashed for one workload.
    pub hash_bytes_max: u64,
    /// The most words of the entrypoint that are sent. The program itself always is.
    pub entrypoint_arguments_max: usize,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            loaded_libraries: true,
            libraries_max: 256,
            library_bytes_max: 32 << 20,
            hash_bytes_max: 64_000_000,
            entrypoint_arguments_max: 32,
        }
    }
}

impl CollectOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let options = Self {
            loaded_libraries: section.value("loadedLibs", default.loaded_libraries),
            libraries_max: section
                .checked("maxLibs", default.libraries_max, "4096 or less", |max| *max <= 4096),
            library_bytes_max: section.value("maxLibraryBytes", ByteSize(default.library_bytes_max)).0,
            hash_bytes_max: section.value("maxHashBytesPerContainer", ByteSize(default.hash_bytes_max)).0,
            entrypoint_arguments_max: section.checked(
                "maxEntrypointArguments",
                default.entrypoint_arguments_max,
                "1024 or less",
                |max| *max <= 1024,
            ),
        };
        if section.value("entryTrace", false) {
            section.conflict("entryTrace", "entry traces are not built yet; set it to false");
        }
        let _: usize = section.checked("maxDepth", 48, "1 to 48", |depth| (1..=48).contains(depth));
        section.finish();
        options
    }
}
