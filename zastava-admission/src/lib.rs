//! Zastava's validating admission webhook: asks Scanner for a verdict on each image of a Pod, and allows or denies.
