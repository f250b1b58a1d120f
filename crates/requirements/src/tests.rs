use super::*;

fn sites(version: &str) -> Sites {
    let config = RequirementsConfig::default();
    Sites::new(&config, Path::new("/nowhere"), "/no/python".into(), version)
}

fn requirements(texts: &[&str]) -> Vec<Requirement> {
    let parsed = texts.iter().map(|text| Requirement::parse(text).unwrap());
    parsed.collect()
}

#[test]
fn a_directory_is_named_by_what_is_in_it() {
    let key = |version: &str, texts: &[&str]| sites(version).key(&requirements(texts));
    let first = key("3.11", &["a==1", "b"]);
    assert_eq!(first.len(), 32);
    assert_eq!(key("3.11", &["b", "a==1", "b"]), first);
    for (version, texts) in [
        ("3.12", &["a==1", "b"][..]),
        ("3.11", &["a==2", "b"]),
        ("3.11", &["a==1"]),
        ("3.11", &["a==1b"]),
    ] {
        assert_ne!(key(version, texts), first);
    }
}

#[test]
fn a_plugin_that_needs_nothing_asks_nobody() {
    let provided = sites("3.11").provide("mine", &[], Missing::Install, Process::Own);
    assert!(provided.is_ok_and(|provided| provided.site.is_none()));
    let asked = requirements(&["a"]);
    let refused = sites("3.11").provide("mine", &asked, Missing::Install, Process::Own);
    let Err(RequirementsError::Failed(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.starts_with("cannot run /no/python"), "{reason}");
}
