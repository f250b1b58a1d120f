//! Commands that the documents show: each page's are run in their order, in a fresh folder, against the real
//! gateway. What is not run here stands in `EXCEPT`, with the reason.

use std::{collections::BTreeSet, path::Path};

use tokio::process::Command;

use crate::{
    plugin_commands::{mozaiks, printed},
    support::program,
};

mod blocks;
mod page;
mod plugins;
mod shell;

use blocks::{Shown, commands, inline, text};
use page::{Begins, walk};

/// A command that is not run as it stands.
enum How {
    /// It stands in that file too, which CI runs.
    In(&'static str),
    /// CI runs it, or it needs what a test has not.
    Elsewhere(&'static str),
    /// Another is run in its place.
    As(&'static str, &'static str),
    /// The gateway answers it with this status.
    Answers(&'static str),
}

/// Page, command, how.
const EXCEPT: &[(&str, &str, How)] = &[
    (
        "README.md",
        "python3 -m venv .venv && . .venv/bin/activate",
        How::In("scripts/test-wheel.sh"),
    ),
    (
        "README.md",
        "pip install ./mozaiks_gateway-*.whl",
        How::In("scripts/test-wheel.sh"),
    ),
    (
        "README.md",
        "make run",
        How::Elsewhere("never ends; commands.rs has what it gives the gateway"),
    ),
    (
        "README.md",
        "make test",
        How::Elsewhere("these tests are a part of it"),
    ),
    (
        "README.md",
        "make build",
        How::Elsewhere("minutes; `make bench` does it in CI"),
    ),
    (
        "README.md",
        "make wheel",
        How::Elsewhere("minutes; scripts/test-wheel.sh has one of the tests' build"),
    ),
    (
        "src/cli/init/README.md",
        "docker compose up",
        How::Elsewhere("needs Docker; init.rs and image.rs have what it names"),
    ),
    (
        "docs/database-plugins.md",
        "curl -s -X POST $REGISTRY/cart-hamid/activate -H \"$AUTH\"",
        How::Answers("409"),
    ),
    (
        "docs/isolation.md",
        "curl -s -X POST $URL/api/plugins/registry/tasks/release -H \"Authorization: Bearer $TOKEN\"",
        How::Answers("409"),
    ),
    (
        "docs/operations.md",
        "docker run --rm -e MOZAIKS_JWT_SECRET -v plugins:/plugins -v data:/data mozaiks-gateway doctor --container",
        How::Elsewhere("needs Docker; image.rs runs it without"),
    ),
    (
        "docs/plugin-development.md",
        "mozaiks plugin logs -f my_plugin",
        How::As(
            "mozaiks plugin logs my_plugin",
            "never ends; plugin_logs.rs follows",
        ),
    ),
    (
        "docs/plugins.md",
        "mozaiks plugin logs -f todo",
        How::As(
            "mozaiks plugin logs todo",
            "never ends; plugin_logs.rs follows",
        ),
    ),
];

/// Each page that shows commands is a test of its own.
macro_rules! pages {
    ($($test:ident: $page:literal, $begins:expr;)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[tokio::test]
            async fn $test() {
                walk($page, $begins).await;
            }
        )*
    };
}

pages! {
    the_readme: "README.md", Begins::Empty;
    database_plugins: "docs/database-plugins.md", Begins::Empty;
    isolation: "docs/isolation.md", Begins::Served(plugins::of_the_repository);
    migrating: "docs/migrating.md", Begins::Empty;
    notifications: "docs/notifications.md", Begins::With(plugins::of_the_repository);
    operations: "docs/operations.md", Begins::Empty;
    plugin_development: "docs/plugin-development.md", Begins::With(plugins::of_the_repository);
    plugins_guide: "docs/plugins.md", Begins::Served(plugins::of_the_guide);
    realtime: "docs/realtime.md", Begins::With(plugins::of_the_repository);
    the_readme_of_an_app: "src/cli/init/README.md", Begins::App;
}

/// Every page for readers, from the repository's root.
fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["README.md".to_owned(), "src/cli/init/README.md".to_owned()];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages
}

fn how(page: &str, command: &str) -> Option<&'static How> {
    EXCEPT
        .iter()
        .find(|(on, of, _)| *on == page && *of == command)
        .map(|(_, _, how)| how)
}

/// A new command is run, or named here with the reason; what is named is still shown.
#[test]
fn every_command_is_run_or_excused() {
    let mut shown = BTreeSet::new();
    for page in pages() {
        let found = commands(&page);
        assert_eq!(
            PAGES.contains(&&*page),
            !found.is_empty(),
            "{page}: a page has a test where it shows commands"
        );
        for Shown { command, .. } in found {
            shown.insert((page.clone(), command));
        }
    }
    for (page, command, how) in EXCEPT {
        let key = ((*page).to_owned(), (*command).to_owned());
        assert!(shown.contains(&key), "{page} does not show {command}");
        match how {
            How::In(file) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let has = std::fs::read_to_string(path).unwrap().contains(command);
                assert!(has, "{file} does not run {command}");
            }
            How::Elsewhere(why) | How::As(_, why) => assert!(!why.is_empty(), "{command}"),
            How::Answers(_) => {}
        }
    }
}

/// Commands that stand in sentences and tables: there are such programs, with such commands and flags.
#[tokio::test]
async fn commands_in_sentences_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = text("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let (mut seen, mut asked) = (0, BTreeSet::new());
    for page in pages() {
        for span in inline(&page) {
            let words: Vec<&str> = span.split_whitespace().collect();
            match *words {
                ["make", target, ..] => assert!(targets.contains(target), "{page}: {span}"),
                ["bash" | "python3", file, ..] if file.contains('/') => {
                    assert!(root.join(file).is_file(), "{page}: {span}");
                }
                ["mozaiks" | "docstore", ..] => {
                    // What is left out, and where output goes to, is no matter of the program's.
                    let own = words.iter().take_while(|word| !word.contains(['…', '>']));
                    asked.insert(own.map(|&word| word.to_owned()).collect::<Vec<_>>());
                }
                _ => continue,
            }
            seen += 1;
        }
    }
    assert!(seen > 30 && asked.len() > 10, "{seen}, {asked:?}");
    for words in asked {
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let help = if words[0] == "mozaiks" {
            printed(mozaiks(&[&arguments[..], &["--help"]].concat())).await
        } else {
            let mut docstore = Command::new(program().with_file_name("docstore"));
            docstore.args(arguments).arg("--help");
            printed(docstore).await
        };
        assert!(help.contains("Usage: "), "{words:?}: {help}");
    }
}
