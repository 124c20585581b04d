//! Prints what an image layout or archive holds, after checking every byte of it. Without an argument it writes a small
//! image with an SBOM first, and reads that.
//!
//! ```sh
//! cargo run --example read_image
//! cargo run --example read_image -- target/images/zastava-webhook.tar
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use zastava_oci::{Artifact, Entry, Image, ImageBuilder, LayoutReader};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = match env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => write_demo(&folder.path().join("demo.tar"))?,
    };
    let layout = LayoutReader::open(path)?;
    for entry in layout.entries() {
        println!("{} {}", entry.name().unwrap_or("-"), entry.digest);
        for found in layout.platforms(entry)? {
            println!("  {}", found.platform);
            print_image(&layout, &layout.image_at(&found.descriptor)?)?;
        }
        for referrer in layout.referrers(entry.digest)? {
            println!("  referrer {} {}", referrer.artifact_type.as_deref().unwrap_or("-"), referrer.digest);
        }
    }
    Ok(())
}

fn print_image(layout: &LayoutReader, image: &Image) -> Result<(), Box<dyn Error>> {
    let process = &image.config.process;
    println!("    runs {:?} {:?} as {:?}", process.entrypoint, process.command, process.user);
    for layer in &image.layers {
        println!("    layer {}", layer.diff_id);
        for entry in layout.layer(layer)? {
            let entry = entry?;
            println!("      {:o} {:>8} /{}", entry.mode, entry.size, entry.path.display());
        }
    }
    Ok(())
}

fn write_demo(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut layout = ImageBuilder::new("registry.internal/demo/hello:1")
        .layer([Entry::file("/etc/motd", 0o644, "welcome\n")])
        .program("/bin/hello", b"\x7fELF".to_vec())
        .user(65532, 65532)
        .build()?;
    let sbom = Artifact::new("application/vnd.cyclonedx+json").subject(layout.image()).file(
        "hello.cdx.json",
        "application/vnd.cyclonedx+json",
        r#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#,
    );
    layout.add(sbom);
    layout.write_archive(path)?;
    Ok(path.to_owned())
}
