//! Reads the GNU build-id of an ELF file, descriptor or byte slice with a few bounded reads.
