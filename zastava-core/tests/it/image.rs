use zastava_core::image::{Digest, ImageError, ImageReference};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn digest_text() -> String {
    format!("sha256:{HEX}")
}

#[track_caller]
fn check(text: &str, wanted: Result<&str, ImageError>) {
    let parsed = text.parse::<ImageReference>().map(|reference| reference.to_string());
    assert_eq!(parsed, wanted.map(str::to_owned), "{text:?}");
}

#[test]
fn references_are_completed_or_refused() {
    let digest = digest_text();
    check("nginx", Ok("docker.io/library/nginx:latest"));
    check("nginx:1.27", Ok("docker.io/library/nginx:1.27"));
    check("team/app", Ok("docker.io/team/app:latest"));
    check("docker.io/nginx", Ok("docker.io/library/nginx:latest"));
    check("index.docker.io/nginx", Ok("docker.io/library/nginx:latest"));
    check("localhost/app", Ok("localhost/app:latest"));
    check("localhost:5000/app:v1", Ok("localhost:5000/app:v1"));
    check("registry.example/a/b__c/d-e.f:T_1.x-y", Ok("registry.example/a/b__c/d-e.f:T_1.x-y"));
    // What is pulled is what is judged: hosts keep their spelling.
    check("REGISTRY.example/app", Ok("REGISTRY.example/app:latest"));
    check("MyRegistry/app:1", Ok("MyRegistry/app:1"));
    check("Index.docker.io/nginx", Ok("Index.docker.io/nginx:latest"));
    check("Docker.io/nginx", Ok("Docker.io/nginx:latest"));
    check("[fc00::3]:5000/a:1", Ok("[fc00::3]:5000/a:1"));
    check("[fc00::3]/a", Ok("[fc00::3]/a:latest"));
    check("r.io:99999/app", Ok("r.io:99999/app:latest"));
    check("my_registry.local/app", Ok("my_registry.local/app:latest"));
    check("sha256:latest", Ok("docker.io/library/sha256:latest"));
    check(
        &format!("{}.example/{}", "h".repeat(60), "a".repeat(255)),
        Ok(&format!("{}.example/{}:latest", "h".repeat(60), "a".repeat(255))),
    );
    check(&format!("app@{digest}"), Ok(&format!("docker.io/library/app@{digest}")));
    check(&format!("r.io:443/app:v1@{digest}"), Ok(&format!("r.io:443/app:v1@{digest}")));

    check("", Err(ImageError::Repository));
    check("/app", Err(ImageError::Repository));
    check("app/", Err(ImageError::Repository));
    check("r.io//app", Err(ImageError::Repository));
    check("App", Err(ImageError::Repository));
    check("a___b", Err(ImageError::Repository));
    check("a..b/c", Err(ImageError::Registry));
    check("-r.io/app", Err(ImageError::Registry));
    check("my_registry.local:5000/app", Err(ImageError::Registry));
    check("[fc00::3/app", Err(ImageError::Registry));
    check("[]/app", Err(ImageError::Repository));
    check("r.io:/app", Err(ImageError::Registry));
    check("app:", Err(ImageError::Tag));
    check("app:-x", Err(ImageError::Tag));
    check(&format!("app:{}", "x".repeat(129)), Err(ImageError::Tag));
    check("app:ümlaut", Err(ImageError::Tag));
    check("app @x", Err(ImageError::Digest));
    check(&format!("app@sha256:{}", HEX.to_uppercase()), Err(ImageError::Digest));
    check(&format!("app@sha512:{HEX}"), Err(ImageError::Digest));
    check(&format!("app@{digest}@{digest}"), Err(ImageError::Digest));
    check(&format!("r.io/{}", "a".repeat(256)), Err(ImageError::RepositoryTooLong));
    check(&"a".repeat(248), Err(ImageError::RepositoryTooLong));
}

/// Engines run the image that a node has under such an ID, whatever a registry says.
#[test]
fn an_image_id_is_no_reference() {
    check(&digest_text(), Err(ImageError::ImageId));
    check(HEX, Err(ImageError::ImageId));
    check("sha256:0", Err(ImageError::ImageId));
    check("sha256:0123456789ab", Err(ImageError::ImageId));
}

#[test]
fn the_digest_wins_over_the_tag() {
    let reference: ImageReference = format!("r.io/app:v1@sha256:{HEX}").parse().expect("parses");
    assert_eq!(reference.pinned(), Some(format!("r.io/app@sha256:{HEX}")));
    let moved = reference.at(Digest::of(b""));
    assert_eq!(moved.to_string(), format!("r.io/app@{}", Digest::of(b"")));
    assert_eq!("nginx:1".parse::<ImageReference>().expect("parses").pinned(), None);
}
