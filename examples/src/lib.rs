//! Small programs, one per embeddable piece, and the quickstart. See README.md.
