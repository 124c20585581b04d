//! An Authority and a Scanner in one process: the embedded default and the contract test kit of Zastava.
