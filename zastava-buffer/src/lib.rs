//! A bounded, crash-safe queue of opaque records on disk, with every loss counted.
