//! Readers of what engines say about containers, for the fuzz targets.

pub use super::crio::container_info;
use super::oci_spec::OciSpec;

/// A container's OCI runtime specification.
pub fn oci_spec(json: &[u8]) {
    let Some(spec) = OciSpec::parse(json) else { return };
    let cgroup = spec.cgroup_name();
    assert!(cgroup.is_none_or(|name| !name.is_empty() && !name.contains(['/', ':'])));
    let kept: usize = spec.process().args.iter().map(String::len).sum();
    assert!(kept <= json.len(), "{kept} bytes of arguments");
}
