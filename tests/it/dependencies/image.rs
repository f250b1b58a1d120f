//! What the image is built from.

use super::{manifest, root};

/// Cargo reads the manifest of every member, so the image needs them all.
#[test]
fn the_image_is_built_from_every_member() {
    let image = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let manifest = manifest("");
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap().trim_end_matches("/*");
        let copied = format!("COPY {folder} {folder}");
        assert!(image.lines().any(|line| line == copied), "{copied}");
    }
}
